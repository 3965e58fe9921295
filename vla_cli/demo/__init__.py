"""The demo: the whole system in separate processes over DDS, played through scenarios, recorded, audited, reported."""
