"""What an arm's limits make of a target: names, finite numbers, joint limits and step limits, in one place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from supervisor_node.announcements import PolicyAnnouncement, same_time
from supervisor_node.arms.profile import Profile
from supervisor_node.values import Measured, Motion, Pose
from vla_uq.contracts import Chunk, Space
from vla_uq.geometry import compose, rotation_vector, shortened

Vector = NDArray[np.float64]
_SAME = 1e-9


class Limits:
    """The limits of one arm, applied. Answers that are texts are empty where nothing is wrong."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile

    # -- names and numbers -----------------------------------------------------------------------------------------
    def order(self, names: Sequence[str]) -> list[int]:
        """Columns of joint vectors in the profile's order: names decide, not positions."""
        return [names.index(name) for name in self._profile.joints.names]

    def refuses(self, policy: PolicyAnnouncement) -> str:
        """Joint names or a time step that are not the arm's."""
        names = self._profile.joints.names
        if policy.space in (Space.JOINT_POSITION, Space.JOINT_VELOCITY) and sorted(policy.names) != sorted(names):
            return f"policy.names: expected {' '.join(names)}, found {' '.join(policy.names)}"
        if not same_time(policy.step_duration, self._profile.period):
            return f"policy.step_duration: expected {self._profile.period:g} s, found {policy.step_duration:g} s"
        return ""

    def check(self, chunk: Chunk) -> str:
        """A chunk of finite numbers in another frame, with too long a step, or outside of the joints' limits."""
        if chunk.frame_id and chunk.frame_id != self._profile.frame:
            return f"frame_id: expected {self._profile.frame}, found {chunk.frame_id}"
        step = self._profile.step
        if chunk.space is Space.EE_DELTA:
            for part, longest in ((slice(0, 3), step.translation), (slice(3, 6), step.rotation)):
                found = float(np.linalg.norm(chunk.actions[:, part], axis=1).max())
                if found > step.malformed * longest:
                    return f"actions: a step of {found:.3g}, at most {step.malformed * longest:.3g}"
        elif chunk.space is Space.JOINT_POSITION:
            return self.outside(chunk.actions[:, self.order(chunk.names)].astype(np.float64))
        elif chunk.space is Space.JOINT_VELOCITY:
            return self.leaps(self.turns(chunk))
        return ""

    def turns(self, chunk: Chunk) -> Vector:
        """What joint velocities turn the joints by in their steps: (horizon, n) rad."""
        return chunk.actions[:, self.order(chunk.names)].astype(np.float64) * chunk.step_duration

    def outside(self, path: Vector) -> str:
        """Joints (steps, n) that are not finite or outside of their limits."""
        joints = self._profile.joints
        wrong = ~((path >= joints.lower) & (path <= joints.upper))
        return (
            f"actions: outside of the limits of {joints.names[int(wrong.any(axis=0).argmax())]}" if wrong.any() else ""
        )

    def leaps(self, turns: Vector) -> str:
        """Changes of the joints (steps, n) from one action to the next that are too long to be meant."""
        step, names = self._profile.step, self._profile.joints.names
        over = np.abs(turns) - step.malformed * step.joints
        if not over.size or not (over > 0).any():
            return ""
        row, worst = divmod(int(over.argmax()), len(names))
        longest = step.malformed * step.joints[worst]
        return f"actions[{row}]: {names[worst]} turns by {abs(turns[row, worst]):.3g} rad, at most {longest:.3g}"

    # -- joining ---------------------------------------------------------------------------------------------------
    def far_pose(self, requested: Pose, measured: Measured) -> str:
        """Why a pose would be too far a jump for the arm as it stands."""
        turn = rotation_vector(requested.rotation @ measured.pose.rotation.T)
        away = float(np.linalg.norm(requested.position - measured.pose.position))
        return self.far(away, float(np.linalg.norm(turn)))

    def far(self, away: float, turn: float) -> str:
        """Why a distance (m) and a rotation (rad) are too far to join."""
        join = self._profile.join
        if away > join.translation:
            return f"{away:.3g} m away, at most {join.translation:g}"
        if turn > join.rotation:
            return f"{turn:.3g} rad away, at most {join.rotation:g}"
        return ""

    def far_joints(self, q: Vector, measured: Measured) -> str:
        """Why a joint target would be too far a jump for the arm as it stands."""
        join, names = self._profile.join.joints, self._profile.joints.names
        away = np.abs(q - measured.q)
        worst = int((away - join).argmax())
        return (
            f"{names[worst]}: {away[worst]:.3g} rad away, at most {join[worst]:g}" if away[worst] > join[worst] else ""
        )

    # -- steps -----------------------------------------------------------------------------------------------------
    def pose_step(self, start: Pose, delta: Vector) -> Motion:
        """``start`` ⊕ ``delta``, the delta no longer than a step, the target inside the workspace."""
        step, box = self._profile.step, self._profile.workspace
        move, cut = shortened(delta[:3], step.translation)
        turn, bent = shortened(delta[3:6], step.rotation)
        position, rotation = compose(start.position, start.rotation, np.concatenate([move, turn]))
        inside = np.clip(position, box.lower, box.upper)
        limited = cut or bent or bool((inside != position).any())
        return Motion(pose=Pose(inside, rotation), limited=limited)

    def step_towards(self, requested: Pose, start: Pose) -> Motion:
        """One step from a pose towards another."""
        turn = rotation_vector(requested.rotation @ start.rotation.T)
        return self.pose_step(start, np.concatenate([requested.position - start.position, turn]))

    def joint_step(self, q: Vector, start: Vector) -> Motion:
        """One step from joints towards others, inside their limits."""
        joints, longest = self._profile.joints, self._profile.step.joints
        target = np.clip(start + np.clip(q - start, -longest, longest), joints.lower, joints.upper)
        return Motion(joints=target, limited=bool(np.abs(target - q).max() > _SAME))

    # -- the stop --------------------------------------------------------------------------------------------------
    def brake(self, measured: Measured, last: Motion | None) -> Vector:
        """Where the joints come to rest when the arm brakes now.

        Every target is at rest at its end, so that is the last joint target (no farther than ``lead`` from the
        measured joints), or v²/2a ahead of the measured ones where the arm cannot stop before that. A pose target has
        no joint reference, so that the measured joints stand for it: the pose controller compensates gravity, and
        nothing springs back.
        """
        braking, joints = self._profile.braking, self._profile.joints
        known = last.joints if last is not None and last.joints is not None else measured.q
        start = measured.q + np.clip(known - measured.q, -braking.lead, braking.lead)
        way = np.sign(measured.qd)
        ahead = np.minimum(measured.qd**2 / (2 * braking.deceleration), braking.lead)
        earliest = measured.q + way * ahead
        return np.clip(np.where(way * (start - earliest) < 0, earliest, start), joints.lower, joints.upper)
