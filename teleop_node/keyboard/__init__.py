"""A keyboard as a teleop device: keys that are known to be held, from the kernel or, less well, from a terminal."""
