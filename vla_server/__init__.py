"""Policies served to other machines and environments: openpi's websocket, with a look inside for those who ask."""
