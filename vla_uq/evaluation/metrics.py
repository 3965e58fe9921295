"""How well scores and alarms separate failures from successes."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


def roc_auc(scores: ArrayLike, failed: ArrayLike) -> float:
    """Probability that a failure scores above a success, ties counted half; NaN when an outcome does not occur.

    :param scores: (n,) one score an episode.
    :param failed: (n,) bool.
    """
    s, f = np.asarray(scores, np.float64), np.asarray(failed, bool)
    wins, pairs = _wins(s, f)
    return wins / pairs if pairs else math.nan


def roc_auc_within(scores: ArrayLike, failed: ArrayLike, groups: Sequence[Hashable]) -> tuple[float, int]:
    """AUC over pairs of episodes of the same group (task and condition), which knowing the group alone cannot raise.

    :param groups: (n,) the group of each episode.
    :returns: the AUC, NaN when no group has both outcomes, and how many groups do.
    """
    s, f = np.asarray(scores, np.float64), np.asarray(failed, bool)
    members: dict[Hashable, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    counts = [_wins(s[m], f[m]) for m in members.values()]
    mixed = [(wins, pairs) for wins, pairs in counts if pairs]
    total = sum(pairs for _, pairs in mixed)
    return (sum(wins for wins, _ in mixed) / total if total else math.nan), len(mixed)


@dataclass(frozen=True)
class AlarmCounts:
    """Episodes by outcome, and how many of each had an alarm.

    :param false_alarms: successes with an alarm: what a halt would have taken away.
    :param detected: failures with an alarm.
    """

    successes: int
    false_alarms: int
    failures: int
    detected: int

    @property
    def false_alarm_rate(self) -> float:
        return self.false_alarms / self.successes if self.successes else math.nan

    @property
    def detection_rate(self) -> float:
        return self.detected / self.failures if self.failures else math.nan


def count_alarms(alarmed: ArrayLike, failed: ArrayLike) -> AlarmCounts:
    """Count alarms by outcome; ``alarmed`` and ``failed`` are (n,) bool, one value an episode."""
    a, f = np.asarray(alarmed, bool), np.asarray(failed, bool)
    return AlarmCounts(int((~f).sum()), int((a & ~f).sum()), int(f.sum()), int((a & f).sum()))


def _wins(scores: np.ndarray, failed: np.ndarray) -> tuple[float, int]:
    """Pairs (failure, success) in which the failure scores higher, ties half, and all pairs."""
    failures, successes = scores[failed], np.sort(scores[~failed])
    below = np.searchsorted(successes, failures, "left")
    tied = np.searchsorted(successes, failures, "right") - below
    return float(below.sum() + tied.sum() / 2), len(failures) * len(successes)
