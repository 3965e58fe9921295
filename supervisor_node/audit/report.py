"""What an audit found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

RULES = {
    "I1": "commands only in AUTONOMOUS (policy) and TELEOP (device), else copies of one hold; the deadman's in silence",
    "I2": "never two sources at once",
    "I3": "every command finite, of the right joints, inside the limits",
    "I4": "HALTED and FAULT are left on an operator's request only",
    "I5": "after an alarm nothing of the policy",
    "I6": "torque is never switched off (no such interface exists; nothing to find in a recording)",
    "I7": "a change of state is announced at once",
    "I8": "wall clocks have no influence (checked by running traces twice; nothing to find in a recording)",
    "I9": "every executed chunk had a passing score of the same key and digest before",
    "derived": "every command follows from a released chunk, a device's pose or the hold",
}


@dataclass(frozen=True)
class Violation:
    """A rule that was broken, when (s, the recording's time), and how."""

    rule: str
    time: float
    text: str


@dataclass
class EpisodeCounts:
    """What happened in one episode."""

    chunks_executed: int = 0
    unscored_chunks_executed: int = 0
    commands: int = 0
    halts: int = 0
    alarms: int = 0
    takeovers: int = 0
    resumes: int = 0


@dataclass
class Report:
    """Counts and violations.

    :param unscored_chunks_executed: chunks of which a command reached the arm in guard mode without a passing score
        of the same key and digest that came earlier.
    :param deadman_holds: targets that the deadman sent in the supervisor's place.
    :param unrecorded: targets on the wire that no record explains: somebody else's, and a violation of I1.
    :param unseen: records whose target was not recorded on the wire (a recording's start, end, or a killed process).
    :param unattested: commands whose measured pose or joints were not recorded (sensor data may be lost on the way).
    """

    chunks: int = 0
    scores: int = 0
    states: int = 0
    commands: int = 0
    policy_commands: int = 0
    teleop_commands: int = 0
    holds: int = 0
    deadman_holds: int = 0
    limited: int = 0
    chunks_executed: int = 0
    unscored_chunks_executed: int = 0
    unscored_chunks_in_shadow: int = 0
    unrecorded: int = 0
    unseen: int = 0
    unattested: int = 0
    largest_derivation_error: float = 0.0
    largest_state_gap: float = 0.0
    episodes: dict[str, EpisodeCounts] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """No rule was broken."""
        return not self.violations

    def violated(self, rule: str) -> int:
        """How often a rule was broken."""
        return sum(violation.rule == rule for violation in self.violations)

    def episode(self, episode_id: str) -> EpisodeCounts:
        """Counts of an episode, new if need be."""
        return self.episodes.setdefault(episode_id, EpisodeCounts())

    def as_dict(self) -> dict[str, Any]:
        """For JSON: every count, the violations, and how often each rule was broken."""
        return {"ok": self.ok, **asdict(self), "rules": {rule: self.violated(rule) for rule in RULES}}
