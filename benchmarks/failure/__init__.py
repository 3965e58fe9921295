"""The table of the SAFE paper on our own beds: rollouts, detectors, the published figures beside ours."""
