"""Takes a recording moment by moment and hands each to the checks."""

from __future__ import annotations

import math

from supervisor_node.arms.base import Arm
from supervisor_node.audit.conduct import Conduct
from supervisor_node.audit.contents import (
    Announced,
    AskedPose,
    Backed,
    Content,
    SeenJoints,
    SeenPose,
    SentGripper,
    SentGroup,
    SentJoints,
    SentPose,
    SentSingle,
    SentTrajectory,
)
from supervisor_node.audit.derivation import Derivation
from supervisor_node.audit.report import Report, Violation
from supervisor_node.audit.wire import Wire
from supervisor_node.states import Source
from supervisor_node.values import Command, Happening
from vla_uq.contracts import Chunk, Score


class Auditor:
    """One pass over a recording, in the order of time.

    :param arm: the arm of the profile that was used.
    :param reaction: seconds that an alarm may take to stop the policy.
    :param announcement: seconds that a change of state may take to be announced (I7).
    :param ensembling: the supervisor's parameter of that name.
    """

    def __init__(self, arm: Arm, reaction: float = 0.1, announcement: float = 0.1, ensembling: float = -1.0) -> None:
        self.report = Report()
        self._conduct = Conduct(self.report, reaction, announcement)
        self._derivation = Derivation(arm, self.report, ensembling)
        self._wire = Wire(arm.profile, self.report)

    def take(self, time: float, content: Content) -> None:
        """Take what was published at ``time`` (s)."""
        report = self.report
        if isinstance(content, Command):
            report.commands += 1
            report.policy_commands += content.source is Source.POLICY
            report.teleop_commands += content.source is Source.TELEOP
            report.holds += content.source is Source.NONE
            self._conduct.command(time, content)
            self._derivation.command(time, content)
            self._wire.command(time, content)
        elif isinstance(content, Announced):
            report.states += 1
            if self._conduct.state(time, content):
                self._derivation.forget()
            self._derivation.state(content.snapshot.state)
        elif isinstance(content, Happening):
            self._conduct.happening(time, content)
        elif isinstance(content, Chunk):
            report.chunks += 1
            self._derivation.chunk(content)
        elif isinstance(content, Score):
            report.scores += 1
            self._conduct.score(time, content)
        elif isinstance(content, Backed):
            report.deadman_holds += 1
            self._conduct.backed(time)
            self._derivation.backed(time, content)
            self._wire.backed(time, content)
        elif isinstance(content, (SentPose, SentJoints, SentTrajectory, SentGroup)):
            self._wire.sent(time, content)
        elif isinstance(content, SentSingle):
            self._wire.single(time, content)
        elif isinstance(content, SentGripper):
            self._gripper(time, content.opening)
        elif isinstance(content, SeenJoints):
            self._derivation.joints(content)
        elif isinstance(content, (SeenPose, AskedPose)):
            self._derivation.pose(content)

    def _gripper(self, time: float, opening: float) -> None:
        if not (math.isfinite(opening) and 0 <= opening <= 1):
            self.report.violations.append(Violation("I3", time, f"gripper command {opening}"))

    def finish(self) -> Report:
        """The recording ended."""
        self._conduct.finish()
        self._wire.finish()
        self.report.violations.sort(key=lambda violation: violation.time)
        return self.report
