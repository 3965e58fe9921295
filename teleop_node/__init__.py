"""Teleop devices: what a person holds becomes the poses, the gripper and the lease that the supervisor expects."""
