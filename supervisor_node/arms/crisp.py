"""Franka behind CRISP's topics: pose targets while moving, one joint target while holding.

A delta is taken from the pose measured at the moment it is sent (contracts.md §5: 128 of 130 episodes, against 6 with
the previous target). A halt holds in joint space: under the low-gain pose controller the arm needs twice as long to
come to rest, and drifts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from supervisor_node.announcements import PolicyAnnouncement, malformed
from supervisor_node.arms.base import Solution
from supervisor_node.arms.limits import Limits
from supervisor_node.arms.profile import Profile
from supervisor_node.values import Measured, Motion, Pose
from vla_uq.contracts import Chunk, Reference, Space
from vla_uq.geometry import rotation_matrix

Vector = NDArray[np.float64]


class CrispArm:
    """See :class:`supervisor_node.arms.base.Arm`. Executes measured pose deltas, poses, joints and their velocities."""

    lacks = ""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._limits = Limits(profile)

    def describe(self, urdf: str) -> str:
        """The controller has the robot's geometry; nothing is needed here."""
        return ""

    def pose(self, q: Vector) -> Pose | None:
        """The controller publishes the pose."""
        return None

    # -- what may be executed --------------------------------------------------------------------------------------
    def refuses(self, policy: PolicyAnnouncement) -> str:
        """Why this arm cannot execute what the policy announces."""
        problem = malformed(policy)
        if problem:
            return problem
        if policy.space is Space.EE_DELTA and policy.reference is not Reference.MEASURED:
            return f"policy.reference: expected MEASURED, found {policy.reference.name}"
        return self._limits.refuses(policy)

    def check(self, chunk: Chunk) -> str:
        """Why a chunk of finite numbers is out of the arm's limits."""
        return self._limits.check(chunk)

    # -- the policy ------------------------------------------------------------------------------------------------
    def joins(self, chunk: Chunk, index: int, measured: Measured) -> str:
        """Why action ``index`` would be too far a jump: its size for deltas and velocities, else its distance."""
        action = chunk.actions[index].astype(np.float64)
        if chunk.space is Space.JOINT_VELOCITY:
            return self._limits.far_joints(measured.q + self._limits.turns(chunk)[index], measured)
        if chunk.space is Space.JOINT_POSITION:
            return self._limits.far_joints(action[self._limits.order(chunk.names)], measured)
        if chunk.space is Space.EE_POSE:
            return self.joins_pose(Pose(action[:3], rotation_matrix(action[3:6])), measured)
        return self._limits.far(float(np.linalg.norm(action[:3])), float(np.linalg.norm(action[3:6])))

    def solve(self, chunk: Chunk, measured: Measured, last: Motion | None) -> Solution:
        """Actions are executed as they are: the controller solves for the joints."""
        return Solution()

    def plan(
        self, chunk: Chunk, index: int, measured: Measured, last: Motion | None, path: Vector | None = None
    ) -> Motion:
        """The target of action ``index``: a delta adds to the measured pose, a velocity to the last joint target, an
        absolute target is stepped towards.
        """
        action = chunk.actions[index].astype(np.float64)
        start = last.joints if last is not None and last.joints is not None else measured.q
        if chunk.space is Space.JOINT_POSITION:
            return self._limits.joint_step(action[self._limits.order(chunk.names)], start)
        if chunk.space is Space.JOINT_VELOCITY:
            return self._limits.joint_step(start + self._limits.turns(chunk)[index], start)
        if chunk.space is Space.EE_POSE:
            return self.follow(Pose(action[:3], rotation_matrix(action[3:6])), measured, last)
        return self._limits.pose_step(measured.pose, action)

    # -- the teleop device -----------------------------------------------------------------------------------------
    def joins_pose(self, requested: Pose, measured: Measured) -> str:
        """Why a pose would be too far a jump for the arm as it stands."""
        return self._limits.far_pose(requested, measured)

    def follow(self, requested: Pose, measured: Measured, last: Motion | None) -> Motion:
        """One step towards a pose, counted from the last target."""
        return self._limits.step_towards(requested, self.reference(measured, last))

    def reference(self, measured: Measured, last: Motion | None) -> Pose:
        """The last pose target, or the measured pose where there is none."""
        return last.pose if last is not None and last.pose is not None else measured.pose

    # -- the stop --------------------------------------------------------------------------------------------------
    def brake(self, measured: Measured, last: Motion | None) -> Vector:
        """Where the joints come to rest when the arm brakes now."""
        return self._limits.brake(measured, last)
