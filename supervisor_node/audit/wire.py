"""Records against the wire: every target on a command topic is explained by one record, whatever their order."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from supervisor_node.arms.profile import Profile
from supervisor_node.audit.contents import Backed, SentGroup, SentJoints, SentPose, SentSingle, SentTrajectory
from supervisor_node.audit.report import Report, Violation
from supervisor_node.values import Command, Stamp

Vector = NDArray[np.float64]
_TOLERANCE = 1e-6
_NO_STAMP: Stamp = (0, 0)


@dataclass(eq=False)
class _Target:
    time: float
    values: Vector
    names: tuple[str, ...] = ()


class Wire:
    """Matches by stamp and values: records and targets travel on topics of their own, and may overtake each other.

    Trajectory controllers and xs_sdk take targets without a stamp; those are matched by values, in the order of time.
    """

    def __init__(self, profile: Profile, report: Report) -> None:
        self._profile, self._names, self._report = profile, profile.joints.names, report
        self._records: dict[Stamp, list[_Target]] = defaultdict(list)
        self._targets: dict[Stamp, list[_Target]] = defaultdict(list)

    def command(self, time: float, command: Command) -> None:
        """A record."""
        self._records[command.stamp].append(_Target(time, _values(command)))

    def backed(self, time: float, content: Backed) -> None:
        """A record of the deadman's."""
        self._records[content.stamp].append(_Target(time, content.q))

    def single(self, time: float, content: SentSingle) -> None:
        """A command of one motor: the gripper's, within the profile's PWM; nothing of ours moves a joint so."""
        part = self._profile.gripper_pwm
        if part is None or content.name != part.joint:
            self._foreign(time, f"{content.name} was moved on joint_single: ")
        elif not part.close <= content.value <= part.open:
            self._break(time, f"gripper PWM {content.value:g}, expected {part.close:g} to {part.open:g}")

    def sent(self, time: float, content: SentPose | SentJoints | SentTrajectory | SentGroup) -> None:
        """A target on the wire."""
        if isinstance(content, SentTrajectory):
            self._trajectory(time, content)
            return
        if isinstance(content, SentGroup):
            self._targets[_NO_STAMP].append(_Target(time, content.q))
            return
        if isinstance(content, SentPose):
            pose = content.pose
            target = _Target(time, np.concatenate([pose.position, pose.rotation.ravel()]))
            self._targets[pose.stamp].append(target)
            return
        if content.names != self._names:
            self._break(time, f"target_joint names {' '.join(content.names)}, expected {' '.join(self._names)}")
        self._targets[content.stamp].append(_Target(time, content.q, content.names))

    def _trajectory(self, time: float, content: SentTrajectory) -> None:
        """A trajectory must be short and end at rest; those of other joints are the gripper's."""
        if set(content.names).isdisjoint(self._names):
            self._finger(time, content)
            return
        q = content.q
        if sorted(content.names) == sorted(self._names) and len(q) == len(self._names):
            q = q[[content.names.index(name) for name in self._names]]
        else:
            self._break(time, f"trajectory of {' '.join(content.names)}, expected {' '.join(self._names)}")
        if content.end > self._profile.max_ahead + _TOLERANCE:
            self._break(time, f"a trajectory of {content.end:.3g} s, at most {self._profile.max_ahead:g}")
        if content.velocity.any():
            self._break(time, "a trajectory that does not end at rest")
        self._targets[_NO_STAMP].append(_Target(time, q, content.names))

    def _finger(self, time: float, content: SentTrajectory) -> None:
        part = self._profile.gripper_controller
        if part is None or content.names != (part.joint,):
            return
        ends = sorted((part.closed, part.open))
        if not (content.q.shape == (1,) and ends[0] - _TOLERANCE <= content.q[0] <= ends[1] + _TOLERANCE):
            self._break(time, f"{part.joint} {content.q.tolist()}, expected {ends[0]:g} to {ends[1]:g}")

    def _break(self, time: float, text: str) -> None:
        self._report.violations.append(Violation("I3", time, text))

    def _foreign(self, time: float, what: str = "") -> None:
        self._report.unrecorded += 1
        self._report.violations.append(Violation("I1", time, f"{what}a target that the supervisor has no record of"))

    def _without_stamps(self) -> None:
        """Targets without a stamp meet the records of all stamps."""
        if _NO_STAMP in self._targets:
            everything = sorted((one for records in self._records.values() for one in records), key=lambda r: r.time)
            self._records.clear()
            self._records[_NO_STAMP] = everything

    def finish(self) -> None:
        """Say what found no partner."""
        self._without_stamps()
        for stamp, targets in self._targets.items():
            records = self._records[stamp]
            for target in targets:
                match = next((i for i, record in enumerate(records) if _equal(record.values, target.values)), None)
                if match is None:
                    self._foreign(target.time)
                else:
                    del records[match]
        if self._targets:
            self._report.unseen = sum(len(records) for records in self._records.values())


def _values(command: Command) -> Vector:
    pose, joints = command.motion.pose, command.motion.joints
    if pose is not None:
        return np.concatenate([pose.position, pose.rotation.ravel()])
    return joints if joints is not None else np.zeros(0)


def _equal(a: Vector, b: Vector) -> bool:
    return a.shape == b.shape and bool((np.abs(a - b) <= _TOLERANCE).all())
