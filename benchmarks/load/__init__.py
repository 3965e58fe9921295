"""Supervisor and monitor under more than they should ever get: bursts, a huge trace, an hour without a pause."""
