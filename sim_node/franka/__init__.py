"""The Franka as its driver shows it."""
