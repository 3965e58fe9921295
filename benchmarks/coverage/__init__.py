"""How often calibrated thresholds alarm on episodes like those they were calibrated on, by Monte Carlo."""
