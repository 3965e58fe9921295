"""Franka behind CRISP's topics: pose targets while moving, one joint target while holding.

A delta is taken from the pose measured at the moment it is sent (contracts.md §5: 128 of 130 episodes, against 6 with
the previous target). A halt holds in joint space: under the low-gain pose controller the arm needs twice as long to
come to rest, and drifts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from supervisor_node.announcements import PolicyAnnouncement, malformed, same_time
from supervisor_node.arms.profile import Profile
from supervisor_node.values import Measured, Motion, Pose
from vla_uq.contracts import Chunk, Reference, Space
from vla_uq.geometry import compose, rotation_matrix, rotation_vector, shortened

Vector = NDArray[np.float64]


class CrispArm:
    """See :class:`supervisor_node.arms.base.Arm`. Executes measured pose deltas, poses and joint positions."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile

    # -- what may be executed --------------------------------------------------------------------------------------
    def refuses(self, policy: PolicyAnnouncement) -> str:
        """Why this arm cannot execute what the policy announces."""
        problem = malformed(policy)
        if problem:
            return problem
        if policy.space is Space.JOINT_VELOCITY:
            return "policy.space: expected EE_DELTA, EE_POSE or JOINT_POSITION, found JOINT_VELOCITY"
        if policy.space is Space.EE_DELTA and policy.reference is not Reference.MEASURED:
            return f"policy.reference: expected MEASURED, found {policy.reference.name}"
        names = self.profile.joints.names
        if policy.space is Space.JOINT_POSITION and sorted(policy.names) != sorted(names):
            return f"policy.names: expected {' '.join(names)}, found {' '.join(policy.names)}"
        if not same_time(policy.step_duration, self.profile.period):
            return f"policy.step_duration: expected {self.profile.period:g} s, found {policy.step_duration:g} s"
        return ""

    def check(self, chunk: Chunk) -> str:
        """Why a chunk of finite numbers is out of the arm's limits."""
        if chunk.frame_id and chunk.frame_id != self.profile.frame:
            return f"frame_id: expected {self.profile.frame}, found {chunk.frame_id}"
        step, joints = self.profile.step, self.profile.joints
        if chunk.space is Space.EE_DELTA:
            for part, longest in ((slice(0, 3), step.translation), (slice(3, 6), step.rotation)):
                found = float(np.linalg.norm(chunk.actions[:, part], axis=1).max())
                if found > step.malformed * longest:
                    return f"actions: a step of {found:.3g}, at most {step.malformed * longest:.3g}"
        elif chunk.space is Space.JOINT_POSITION:
            q = chunk.actions[:, self._order(chunk)]
            outside = (q < joints.lower) | (q > joints.upper)
            if outside.any():
                return f"actions: outside of the limits of {joints.names[int(outside.any(axis=0).argmax())]}"
        return ""

    # -- the policy ------------------------------------------------------------------------------------------------
    def joins(self, chunk: Chunk, index: int, measured: Measured) -> str:
        """Why action ``index`` would be too far a jump: its size for deltas, else its distance from the arm."""
        action = chunk.actions[index].astype(np.float64)
        if chunk.space is Space.JOINT_POSITION:
            away = np.abs(action[self._order(chunk)] - measured.q)
            worst = int((away - self.profile.join.joints).argmax())
            if away[worst] > self.profile.join.joints[worst]:
                name = self.profile.joints.names[worst]
                return f"{name}: {away[worst]:.3g} rad away, at most {self.profile.join.joints[worst]:g}"
            return ""
        if chunk.space is Space.EE_POSE:
            return self.joins_pose(Pose(action[:3], rotation_matrix(action[3:6])), measured)
        return self._near(float(np.linalg.norm(action[:3])), float(np.linalg.norm(action[3:6])))

    def plan(self, chunk: Chunk, index: int, measured: Measured, last: Motion | None) -> Motion:
        """The target of action ``index``; a delta adds to the measured pose, an absolute target is stepped towards."""
        action = chunk.actions[index].astype(np.float64)
        if chunk.space is Space.JOINT_POSITION:
            return self._joint_step(action[self._order(chunk)], measured, last)
        if chunk.space is Space.EE_POSE:
            return self.follow(Pose(action[:3], rotation_matrix(action[3:6])), measured, last)
        return self._step(measured.pose, action)

    # -- the teleop device -----------------------------------------------------------------------------------------
    def joins_pose(self, requested: Pose, measured: Measured) -> str:
        """Why a pose would be too far a jump for the arm as it stands."""
        turn = rotation_vector(requested.rotation @ measured.pose.rotation.T)
        away = float(np.linalg.norm(requested.position - measured.pose.position))
        return self._near(away, float(np.linalg.norm(turn)))

    def follow(self, requested: Pose, measured: Measured, last: Motion | None) -> Motion:
        """One step towards a pose, counted from the last target."""
        start = self.reference(measured, last)
        turn = rotation_vector(requested.rotation @ start.rotation.T)
        return self._step(start, np.concatenate([requested.position - start.position, turn]))

    def reference(self, measured: Measured, last: Motion | None) -> Pose:
        """The last pose target, or the measured pose where there is none."""
        return last.pose if last is not None and last.pose is not None else measured.pose

    # -- the stop --------------------------------------------------------------------------------------------------
    def brake(self, measured: Measured, last: Motion | None) -> Vector:
        """Where the joints come to rest: ahead of them by v²/2a, from the joint reference where there is one.

        A pose target has no joint reference, so that the measured joints stand for it: the pose controller
        compensates gravity, and nothing springs back.
        """
        braking, joints = self.profile.braking, self.profile.joints
        start = measured.q
        if last is not None and last.joints is not None:
            start = measured.q + np.clip(last.joints - measured.q, -braking.lead, braking.lead)
        ahead = np.sign(measured.qd) * measured.qd**2 / (2 * braking.deceleration)
        return np.clip(start + np.clip(ahead, -braking.lead, braking.lead), joints.lower, joints.upper)

    # -- limits ----------------------------------------------------------------------------------------------------
    def _step(self, start: Pose, delta: Vector) -> Motion:
        """``start`` ⊕ ``delta``, the delta no longer than a step, the target inside the workspace."""
        step, box = self.profile.step, self.profile.workspace
        move, cut = shortened(delta[:3], step.translation)
        turn, bent = shortened(delta[3:6], step.rotation)
        position, rotation = compose(start.position, start.rotation, np.concatenate([move, turn]))
        inside = np.clip(position, box.lower, box.upper)
        limited = cut or bent or bool((inside != position).any())
        return Motion(pose=Pose(inside, rotation), limited=limited)

    def _joint_step(self, q: Vector, measured: Measured, last: Motion | None) -> Motion:
        start = last.joints if last is not None and last.joints is not None else measured.q
        change = np.clip(q - start, -self.profile.step.joints, self.profile.step.joints)
        target = np.clip(start + change, self.profile.joints.lower, self.profile.joints.upper)
        return Motion(joints=target, limited=bool(np.abs(target - q).max() > 1e-9))

    def _near(self, away: float, turn: float) -> str:
        join = self.profile.join
        if away > join.translation:
            return f"{away:.3g} m away, at most {join.translation:g}"
        if turn > join.rotation:
            return f"{turn:.3g} rad away, at most {join.rotation:g}"
        return ""

    def _order(self, chunk: Chunk) -> list[int]:
        """Columns of a joint-space chunk in the profile's order: names decide, not positions."""
        return [chunk.names.index(name) for name in self.profile.joints.names]
