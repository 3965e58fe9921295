"""Conformal calibration: bands and thresholds, the one nonconformity of a monitor, and what n episodes can promise."""
