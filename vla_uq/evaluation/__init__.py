"""Measuring detectors: intervals and metrics."""
