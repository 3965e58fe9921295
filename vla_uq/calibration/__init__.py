"""Conformal calibration: functional bands, the monitor's one nonconformity, and what n episodes can promise."""
