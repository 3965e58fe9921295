"""Comparing detectors: many fits in parallel, tables and the report."""
