"""Every command derived again: from its chunk and the measured pose, from the device's pose, or from the hold."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from supervisor_node.arms.base import Arm
from supervisor_node.audit.contents import AskedPose, Backed, SeenJoints, SeenPose
from supervisor_node.audit.report import Report, Violation
from supervisor_node.ensembling import Ensembling
from supervisor_node.states import HOLDING, Source, State
from supervisor_node.values import Command, Measured, Motion, Pose, Stamp
from vla_uq.contracts import Chunk, Key
from vla_uq.geometry import rotation_vector

Vector = NDArray[np.float64]
TOLERANCE = 1e-6
"""Largest difference (m, rad) between a command and its derivation."""
_POSES_KEPT = 400
_CHUNKS_KEPT = 64
_JOINTS_KEPT = 1024


class Derivation:
    """Recomputes commands and checks I1 (the hold), I3 and the derivation."""

    def __init__(self, arm: Arm, report: Report, ensembling: float) -> None:
        self._arm, self._report = arm, report
        self._ensembling = Ensembling(ensembling)
        self._executed: Chunk | None = None
        self._chunks: dict[Key, Chunk] = {}
        self._seen: deque[Pose] = deque(maxlen=_POSES_KEPT)
        self._asked: deque[Pose] = deque(maxlen=_POSES_KEPT)
        self._previous: Command | None = None
        self._hold: Vector | None = None
        self._joints: dict[Stamp, Vector] = {}
        self._path: Vector | None = None
        self._lost = False

    def chunk(self, chunk: Chunk) -> None:
        """A chunk was published."""
        self._chunks.setdefault(chunk.key, chunk)
        while len(self._chunks) > _CHUNKS_KEPT:
            del self._chunks[next(iter(self._chunks))]

    def joints(self, content: SeenJoints) -> None:
        """The arm's measured joints, where the message holds all of them."""
        names = self._arm.profile.joints.names
        if set(names) <= set(content.names) and len(content.q) == len(content.names):
            self._joints[content.stamp] = content.q[[content.names.index(name) for name in names]]
        while len(self._joints) > _JOINTS_KEPT:
            del self._joints[next(iter(self._joints))]

    def pose(self, content: SeenPose | AskedPose) -> None:
        """The arm's measured pose, or the device's."""
        (self._seen if isinstance(content, SeenPose) else self._asked).append(content.pose)

    def state(self, state: State) -> None:
        """A state was announced: a new hold may be captured after one in which nothing is held."""
        if state not in HOLDING:
            self._hold = None

    def command(self, time: float, command: Command) -> None:
        """A command was sent."""
        self._limits(time, command)
        if command.source is Source.NONE:
            self._held(time, command)
        else:
            self._hold = None
            self._attested(command)
            expected = self._policy(time, command) if command.source is Source.POLICY else self._teleop(time, command)
            if expected is not None:
                self._compare(time, command, expected)
        self._previous = command

    def backed(self, time: float, content: Backed) -> None:
        """The deadman sent a target: where the arm was last sent."""
        last = self._previous.motion.joints if self._previous is not None else None
        if last is not None and not np.array_equal(content.q, last):
            self._break("I1", time, "the deadman's target is not where the arm was last sent")
        self._joint_limits(time, content.q)

    def forget(self) -> None:
        """Another supervisor process took over: its first command follows nothing."""
        self._previous = self._hold = None

    # -- what must be ----------------------------------------------------------------------------------------------
    def _policy(self, time: float, command: Command) -> Motion | None:
        chunk = self._chunks.get(command.key)
        if chunk is None or chunk.digest != command.digest:
            self._break("derived", time, f"no chunk {command.key} with digest {command.digest:016x} was published")
            return None
        if not 0 <= command.index < chunk.horizon:
            self._break("I3", time, f"action {command.index} of chunk {command.key}, which has {chunk.horizon}")
            return None
        before = self._previous
        if before is not None and before.key == command.key and before.index >= command.index:
            self._break("derived", time, f"action {command.index} of chunk {command.key} after {before.index}")
        last, measured = self._last(command), self._measured(command)
        follows = before is not None and before.source is command.source
        if not follows:
            self._ensembling.start()
        if not follows or self._executed is None or self._executed.key != command.key:
            self._executed = chunk = self._ensembling.take(chunk)
            self._lost = self._unknown(command, last)
            solution = None if self._lost else self._arm.solve(chunk, measured, last)
            self._path = solution.path if solution is not None else None
            if solution is not None and solution.problem:
                self._break("derived", time, f"chunk {command.key}: {solution.problem}")
        if self._lost or self._unknown(command, last):
            self._report.unattested += 1
            return None
        return self._arm.plan(self._executed, command.index, measured, last, self._path)

    def _teleop(self, time: float, command: Command) -> Motion | None:
        asked = command.requested
        if asked is None or not any(_apart(asked, pose) <= TOLERANCE for pose in reversed(self._asked)):
            self._break("derived", time, "the device never asked for this pose")
            return None
        last = self._last(command)
        if self._unknown(command, last):
            self._report.unattested += 1
            return None
        return self._arm.follow(asked, self._measured(command), last)

    def _last(self, command: Command) -> Motion | None:
        """The motion that this one was stepped from: the one before, of the same source, if there was one.

        At the start of a recording that one is missing, and the record's own word is taken for it.
        """
        before = self._previous
        if before is None:
            return Motion(pose=command.reference)
        return before.motion if before.source is command.source else None

    def _unknown(self, command: Command, last: Motion | None) -> bool:
        """A joint target whose start was not recorded: no joint target before it, no joint state of its stamp."""
        known = last is not None and last.joints is not None
        return command.motion.joints is not None and not known and command.stamp not in self._joints

    def _measured(self, command: Command) -> Measured:
        count = len(self._arm.profile.joints.names)
        return Measured(self._joints.get(command.stamp, np.zeros(count)), np.zeros(count), command.measured)

    def _compare(self, time: float, command: Command, expected: Motion) -> None:
        error = _difference(command.motion, expected)
        self._report.largest_derivation_error = max(self._report.largest_derivation_error, error)
        if not error <= TOLERANCE:
            who = f"chunk {command.key}[{command.index}]" if command.source is Source.POLICY else "the device's pose"
            self._break("derived", time, f"{error:.3g} away from what follows from {who}")

    def _held(self, time: float, command: Command) -> None:
        q = command.motion.joints
        if q is None:
            self._break("I1", time, "a hold that is no joint target")
            return
        recovered = self._previous is not None and self._previous.state is State.FAULT and command.state is State.HALTED
        if self._hold is not None and not recovered and not np.array_equal(q, self._hold):
            self._break("I1", time, f"the hold changed by {np.abs(q - self._hold).max():.3g} rad")
        self._hold = q

    def _limits(self, time: float, command: Command) -> None:
        profile, motion = self._arm.profile, command.motion
        self._report.limited += motion.limited
        if command.gripper is not None and not 0 <= command.gripper <= 1:
            self._break("I3", time, f"gripper {command.gripper}")
        if motion.joints is not None:
            self._joint_limits(time, motion.joints)
        elif motion.pose is None or not motion.pose.finite:
            self._break("I3", time, "a pose that is not finite")
        elif bool(
            ((motion.pose.position < profile.workspace.lower) | (motion.pose.position > profile.workspace.upper)).any()
        ):
            self._break("I3", time, f"pose {motion.pose.position.tolist()} outside of the workspace")

    def _joint_limits(self, time: float, q: Vector) -> None:
        joints = self._arm.profile.joints
        right = q.shape == joints.lower.shape and bool(np.isfinite(q).all())
        if not right or bool(((q < joints.lower) | (q > joints.upper)).any()):
            self._break("I3", time, f"joints {q.tolist()} not finite or outside of their limits")

    def _attested(self, command: Command) -> None:
        """The measured pose that the record names was published by the arm."""
        stamp: Stamp = command.measured.stamp
        known = [pose for pose in self._seen if pose.stamp == stamp]
        if not any(_apart(pose, command.measured) <= TOLERANCE for pose in known):
            self._report.unattested += 1

    def _break(self, rule: str, time: float, text: str) -> None:
        self._report.violations.append(Violation(rule, time, text))


def _apart(a: Pose, b: Pose) -> float:
    """Largest difference of two poses (m, rad); NaN where one is not finite."""
    if not (a.finite and b.finite):
        return float("nan")
    turn = rotation_vector(a.rotation @ b.rotation.T)
    return float(max(np.abs(a.position - b.position).max(), np.abs(turn).max()))


def _difference(a: Motion, b: Motion) -> float:
    if a.pose is not None and b.pose is not None:
        return _apart(a.pose, b.pose)
    if a.joints is not None and b.joints is not None and a.joints.shape == b.joints.shape:
        return float(np.abs(a.joints - b.joints).max())
    return float("inf")
