"""LeRobot's flow policies, alone or as an ensemble, served from an environment of their own.

Nothing of LeRobot is changed or copied: a tap listens at three places of a running policy.
"""
