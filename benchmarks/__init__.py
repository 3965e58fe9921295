"""The tables of this project, each one command: ``python -m benchmarks.<name> [--quick] [--seed N] [--out DIR]``."""
