"""The protocol of an arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from supervisor_node.announcements import PolicyAnnouncement
from supervisor_node.arms.profile import Profile
from supervisor_node.values import Measured, Motion, Pose
from vla_uq.contracts import Chunk

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Solution:
    """What a whole chunk means for the arm's joints.

    :param path: joints (horizon, n) rad, one row an action; None where actions are executed as they are.
    :param problem: why the chunk cannot be executed from here, or "".
    """

    path: Vector | None = None
    problem: str = ""


class Arm(Protocol):
    """Pure: nothing is kept between calls, so that every command can be derived again from a recording.

    ``last`` is the motion sent before by the same source, None for its first: absolute targets are stepped from it.
    Answers that are texts are empty where nothing is wrong.
    """

    @property
    def profile(self) -> Profile:
        """Limits of the arm."""
        ...

    @property
    def lacks(self) -> str:
        """What the arm must be told before it can be used (see :meth:`describe`)."""
        ...

    def describe(self, urdf: str) -> str:
        """Take the robot's description, once, before anything moves; why it does not fit the profile, or ""."""
        ...

    def pose(self, q: Vector) -> Pose | None:
        """Pose of the grip frame for joints (n,) rad; None where the arm's geometry is not known here."""
        ...

    def refuses(self, policy: PolicyAnnouncement) -> str:
        """Why this arm cannot execute what the policy announces: field, expected, found."""
        ...

    def check(self, chunk: Chunk) -> str:
        """Why a chunk of finite numbers is out of the arm's limits: it is malformed then."""
        ...

    def joins(self, chunk: Chunk, index: int, measured: Measured) -> str:
        """Why action ``index`` would be too far a jump for the arm as it stands."""
        ...

    def solve(self, chunk: Chunk, measured: Measured, last: Motion | None) -> Solution:
        """The whole chunk in joint space, at the moment of its release."""
        ...

    def plan(
        self, chunk: Chunk, index: int, measured: Measured, last: Motion | None, path: Vector | None = None
    ) -> Motion:
        """The target of action ``index``, within the arm's limits.

        :param path: what :meth:`solve` made of the chunk.
        """
        ...

    def joins_pose(self, requested: Pose, measured: Measured) -> str:
        """Why a teleop device's pose would be too far a jump for the arm as it stands."""
        ...

    def follow(self, requested: Pose, measured: Measured, last: Motion | None) -> Motion:
        """One step towards a teleop device's pose, within the arm's limits."""
        ...

    def brake(self, measured: Measured, last: Motion | None) -> Vector:
        """Joints (rad) where the arm comes to rest when it brakes now, to be captured once and held."""
        ...

    def reference(self, measured: Measured, last: Motion | None) -> Pose:
        """The pose that the next step of an absolute target is counted from."""
        ...
