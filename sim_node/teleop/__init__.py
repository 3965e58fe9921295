"""A scripted teleop device: the expert at the controls, in the place of a person."""
