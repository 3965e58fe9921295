"""Does uncertainty at the first frame say how often a task will succeed? The calibration table of the VFD paper."""
