"""A small arm for the supervisor's tests, which may run away or sag."""

from __future__ import annotations

import math

import numpy as np

from supervisor_node.values import Command, Pose
from vla_uq.geometry import rotation_matrix, rotation_vector

HOME = np.array([0, -0.161, 0, -2.4446, 0, 2.2268, math.pi / 4])
CENTRE = np.array([0.0, 0.0, 0.3])


class Plant:
    """An arm whose first six joints are its pose, and which follows its newest target with a time constant."""

    def __init__(self) -> None:
        self.q = HOME.copy()
        self.opening = 1.0
        self.target: np.ndarray | None = None
        self.gripper = 1.0
        self.runaway = 0.0  # velocity (rad/s) with which it moves whatever it is told
        self.sag = 0.0  # rad that the load pulls its second joint off the target

    def pose(self, stamp: tuple[int, int]) -> Pose:
        off = self.q - HOME
        return Pose(CENTRE + off[:3], rotation_matrix(off[3:6]), stamp)

    def obey(self, command: Command) -> None:
        if command.motion.joints is not None:
            self.target = command.motion.joints.copy()
        else:
            pose = command.motion.pose
            assert pose is not None
            self.target = HOME.copy()
            self.target[:3] += pose.position - CENTRE
            self.target[3:6] += rotation_vector(pose.rotation)
        if command.gripper is not None:
            self.gripper = command.gripper

    def _droop(self) -> np.ndarray:
        return np.eye(7)[1] * self.sag

    def advance(self, seconds: float) -> None:
        if self.runaway:
            self.q[0] += self.runaway * seconds
        elif self.target is not None:
            self.q += (self.target - self._droop() - self.q) * (1 - math.exp(-seconds / 0.05))
        self.opening += (self.gripper - self.opening) * (1 - math.exp(-seconds / 0.05))
