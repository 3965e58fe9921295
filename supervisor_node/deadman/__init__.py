"""The backup deadman: a process of its own that notices when the supervisor falls silent."""
