"""The science of vla_monitor: uncertainty, failure detection and calibration, free of ROS."""
