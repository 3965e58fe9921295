"""Every estimator of disagreement over one ensemble at many conditions at once: the toy's and the bed's benchmarks."""
