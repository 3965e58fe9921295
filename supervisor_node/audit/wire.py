"""Records against the wire: every target on a command topic is explained by one record, whatever their order."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from supervisor_node.audit.contents import SentJoints, SentPose
from supervisor_node.audit.report import Report, Violation
from supervisor_node.values import Command, Stamp

Vector = NDArray[np.float64]
_TOLERANCE = 1e-6


@dataclass(eq=False)
class _Target:
    time: float
    values: Vector
    names: tuple[str, ...] = ()


class Wire:
    """Matches by stamp and values: records and targets travel on topics of their own, and may overtake each other."""

    def __init__(self, names: tuple[str, ...], report: Report) -> None:
        self._names, self._report = names, report
        self._records: dict[Stamp, list[_Target]] = defaultdict(list)
        self._targets: dict[Stamp, list[_Target]] = defaultdict(list)

    def command(self, time: float, command: Command) -> None:
        """A record."""
        self._records[command.stamp].append(_Target(time, _values(command)))

    def sent(self, time: float, content: SentPose | SentJoints) -> None:
        """A target on the wire."""
        if isinstance(content, SentPose):
            pose = content.pose
            target = _Target(time, np.concatenate([pose.position, pose.rotation.ravel()]))
            self._targets[pose.stamp].append(target)
            return
        if content.names != self._names:
            text = f"target_joint names {' '.join(content.names)}, expected {' '.join(self._names)}"
            self._report.violations.append(Violation("I3", time, text))
        self._targets[content.stamp].append(_Target(time, content.q, content.names))

    def finish(self) -> None:
        """Say what found no partner."""
        for stamp, targets in self._targets.items():
            records = self._records[stamp]
            for target in targets:
                match = next((i for i, record in enumerate(records) if _equal(record.values, target.values)), None)
                if match is None:
                    self._report.unrecorded += 1
                    text = "a target that the supervisor has no record of"
                    self._report.violations.append(Violation("I1", target.time, text))
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
