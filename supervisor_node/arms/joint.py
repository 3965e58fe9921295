"""Arms that take joint positions: Franka and WidowX through a trajectory controller, WidowX through xs_sdk.

One command is one joint target, at rest at its end. End-effector actions become joints by inverse kinematics: the whole
chunk at its release, seeded from the reference, and refused where the arm cannot follow it. Deltas that are taken from
the measured pose are proved then as seen from there, and solved again as they are sent: where the arm will be by then
nobody knows, and the same deltas on the last target fail (contracts.md §5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from supervisor_node.announcements import PolicyAnnouncement, malformed
from supervisor_node.arms.base import Solution
from supervisor_node.arms.kinematics import Kinematics
from supervisor_node.arms.limits import Limits
from supervisor_node.arms.profile import Profile
from supervisor_node.values import Measured, Motion, Pose
from vla_uq.contracts import Chunk, Reference, Space
from vla_uq.errors import InputError
from vla_uq.geometry import compose, rotation_matrix

Vector = NDArray[np.float64]
_NO_GEOMETRY = "no robot_description: end-effector targets need one"


class JointArm:
    """See :class:`supervisor_node.arms.base.Arm`. Executes joint positions, joint velocities, poses and pose deltas.

    :param profile: with a section ``kinematics`` where end-effector targets are to be executed.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._limits = Limits(profile)
        self._kinematics: Kinematics | None = None

    @property
    def lacks(self) -> str:
        """The description, where the profile has a use for it."""
        return _NO_GEOMETRY if self.profile.kinematics is not None and self._kinematics is None else ""

    def describe(self, urdf: str) -> str:
        """Take the robot's description, once."""
        if self.profile.kinematics is None or self._kinematics is not None:
            return ""
        try:
            self._kinematics = Kinematics(self.profile, urdf)
        except InputError as error:
            return str(error)
        return ""

    def pose(self, q: Vector) -> Pose | None:
        """Pose of the grip frame by forward kinematics."""
        return self._kinematics.pose(q) if self._kinematics is not None else None

    # -- what may be executed --------------------------------------------------------------------------------------
    def refuses(self, policy: PolicyAnnouncement) -> str:
        """Why this arm cannot execute what the policy announces."""
        problem = malformed(policy)
        if problem:
            return problem
        if policy.space in (Space.EE_POSE, Space.EE_DELTA) and self._kinematics is None:
            return f"policy.space: {policy.space.name}, but {_NO_GEOMETRY}"
        if policy.space is Space.EE_DELTA and policy.reference is Reference.OBSERVATION:
            return "policy.reference: expected MEASURED or PREVIOUS, found OBSERVATION"
        return self._limits.refuses(policy)

    def check(self, chunk: Chunk) -> str:
        """Why a chunk of finite numbers is out of the arm's limits."""
        return self._limits.check(chunk)

    # -- the policy ------------------------------------------------------------------------------------------------
    def joins(self, chunk: Chunk, index: int, measured: Measured) -> str:
        """Why action ``index`` would be too far a jump: its size for deltas and velocities, else its distance."""
        action = chunk.actions[index].astype(np.float64)
        if chunk.space is Space.JOINT_POSITION:
            return self._limits.far_joints(action[self._limits.order(chunk.names)], measured)
        if chunk.space is Space.JOINT_VELOCITY:
            return self._limits.far_joints(measured.q + self._limits.turns(chunk)[index], measured)
        if chunk.space is Space.EE_POSE:
            return self.joins_pose(_pose(action), measured)
        return self._limits.far(float(np.linalg.norm(action[:3])), float(np.linalg.norm(action[3:6])))

    def solve(self, chunk: Chunk, measured: Measured, last: Motion | None) -> Solution:
        """The whole chunk in joint space, from the reference on; refused where it leaps or leads out of reach."""
        start = self._start(measured, last)
        if chunk.space is Space.JOINT_POSITION:
            path = chunk.actions[:, self._limits.order(chunk.names)].astype(np.float64)
            return Solution(path, self._limits.leaps(np.diff(path, axis=0)))
        if chunk.space is Space.JOINT_VELOCITY:
            return Solution()  # integrated as they are sent: each from the target before, which stops at the limits
        if self._kinematics is None:
            return Solution(problem=_NO_GEOMETRY)
        if chunk.space is Space.EE_DELTA and chunk.reference is Reference.MEASURED:
            return self._prove(self._kinematics, chunk, measured, start)
        return self._follow_poses(self._kinematics, chunk, self.reference(measured, last), start)

    def plan(
        self, chunk: Chunk, index: int, measured: Measured, last: Motion | None, path: Vector | None = None
    ) -> Motion:
        """The joints of action ``index``, no farther than a step from the reference."""
        start = self._start(measured, last)
        if path is not None:
            return self._limits.joint_step(path[index], start)
        if chunk.space is Space.JOINT_VELOCITY:
            return self._limits.joint_step(start + self._limits.turns(chunk)[index], start)
        assert self._kinematics is not None, "without a path an action is a delta from the measured pose"
        target = self._limits.pose_step(measured.pose, chunk.actions[index].astype(np.float64))
        return self._reach(target, start)

    def _prove(self, kinematics: Kinematics, chunk: Chunk, measured: Measured, start: Vector) -> Solution:
        """Every delta of the chunk as seen from here."""
        for index, action in enumerate(chunk.actions.astype(np.float64)):
            target = self._limits.pose_step(measured.pose, action).pose
            assert target is not None
            reached = kinematics.solve(target, start)
            problem = kinematics.problem(reached)
            problem = f"actions[{index}]: {problem}" if problem else self._limits.leaps((reached.q - start)[None])
            if problem:
                return Solution(problem=problem)
        return Solution()

    def _follow_poses(self, kinematics: Kinematics, chunk: Chunk, pose: Pose, start: Vector) -> Solution:
        """One solution after the other along absolute poses, or along deltas from the pose before."""
        path = np.empty((chunk.horizon, len(start)))
        q = start
        for index, action in enumerate(chunk.actions.astype(np.float64)):
            pose = (
                _pose(action) if chunk.space is Space.EE_POSE else Pose(*compose(pose.position, pose.rotation, action))
            )
            reached = kinematics.solve(pose, q)
            problem = kinematics.problem(reached)
            if problem:
                return Solution(problem=f"actions[{index}]: {problem}")
            q = path[index] = reached.q
        # The way to the first pose is checked when the arm joins, and stepped.
        return Solution(path, self._limits.leaps(np.diff(path, axis=0)))

    def _reach(self, target: Motion, start: Vector) -> Motion:
        """One step of the joints towards a pose target; where it is out of reach, as near as the arm gets."""
        assert self._kinematics is not None and target.pose is not None
        reached = self._kinematics.solve(target.pose, start)
        step = self._limits.joint_step(reached.q, start)
        limited = target.limited or step.limited or bool(self._kinematics.problem(reached))
        return Motion(joints=step.joints, limited=limited)

    # -- the teleop device -----------------------------------------------------------------------------------------
    def joins_pose(self, requested: Pose, measured: Measured) -> str:
        """Why a pose would be too far a jump for the arm as it stands."""
        return self._limits.far_pose(requested, measured) if self._kinematics is not None else _NO_GEOMETRY

    def follow(self, requested: Pose, measured: Measured, last: Motion | None) -> Motion:
        """One step towards a pose, counted from the last target."""
        step = self._limits.step_towards(requested, self.reference(measured, last))
        return self._reach(step, self._start(measured, last))

    def reference(self, measured: Measured, last: Motion | None) -> Pose:
        """The grip frame's pose at the last joint target, or the measured pose where there is none."""
        known = self.pose(last.joints) if last is not None and last.joints is not None else None
        return known if known is not None else measured.pose

    # -- the stop --------------------------------------------------------------------------------------------------
    def brake(self, measured: Measured, last: Motion | None) -> Vector:
        """Where the joints come to rest when the arm brakes now."""
        return self._limits.brake(measured, last)

    def _start(self, measured: Measured, last: Motion | None) -> Vector:
        """The reference in joint space: the last target, or the measured joints."""
        return last.joints if last is not None and last.joints is not None else measured.q


def _pose(action: Vector) -> Pose:
    return Pose(action[:3], rotation_matrix(action[3:6]))
