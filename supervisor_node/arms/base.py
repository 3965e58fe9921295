"""The protocol of an arm."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from supervisor_node.announcements import PolicyAnnouncement
from supervisor_node.arms.profile import Profile
from supervisor_node.values import Measured, Motion, Pose
from vla_uq.contracts import Chunk

Vector = NDArray[np.float64]


class Arm(Protocol):
    """Pure: nothing is kept between calls, so that every command can be derived again from a recording.

    ``last`` is the motion sent before by the same source, None for its first: absolute targets are stepped from it.
    Answers that are texts are empty where nothing is wrong.
    """

    @property
    def profile(self) -> Profile:
        """Limits of the arm."""
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

    def plan(self, chunk: Chunk, index: int, measured: Measured, last: Motion | None) -> Motion:
        """The target of action ``index``, within the arm's limits."""
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
