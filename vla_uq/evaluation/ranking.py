"""How well scores rank failures above successes, for all resamplings of the episodes at once.

Every statistic takes the number of times that each episode counts, (B, n), and returns B values: ones give the
estimate, bootstrap counts its distribution. Two areas, three ways to treat tasks:

- pooled: all episodes together. A score that knows nothing but the task's difficulty does well here.
- macro: unweighted mean over the tasks that have both outcomes.
- within: the mean weighted by each task's pairs (ROC) or failures (PR): the ranking of episodes of the same task.

ROC-AUC counts ties half. PR-AUC is the average precision, failures positive; its chance level is their share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scored:
    """One detector's scores of the episodes of one part of a split.

    :param ids: of the episodes, (n,).
    :param scores: (n,), higher is worse, infinite where the detector gave none; no NaN.
    :param failed: (n,).
    :param tasks: (n,) key of each episode's task.
    """

    ids: tuple[str, ...]
    scores: Floats
    failed: NDArray[np.bool_]
    tasks: NDArray[np.str_]

    def pick(self, chosen: NDArray[np.bool_]) -> Scored:
        """Some of the episodes.

        :param chosen: (n,).
        """
        ids = tuple(name for name, kept in zip(self.ids, chosen.tolist(), strict=True) if kept)
        return Scored(ids, self.scores[chosen], self.failed[chosen], self.tasks[chosen])

    def mixed_tasks(self) -> list[str]:
        """The tasks that have both outcomes: macro and within are over these."""
        return sorted(set(self.tasks[self.failed].tolist()) & set(self.tasks[~self.failed].tolist()))


Statistic = Callable[[Scored, Floats], Floats]


def roc_auc(part: Scored, counts: Floats) -> Floats:
    """Pooled ROC-AUC, (B,); NaN where an outcome does not occur."""
    return _ratio(*_wins(part.scores, part.failed, counts))


def roc_auc_macro(part: Scored, counts: Floats) -> Floats:
    """Mean of the tasks' ROC-AUC, (B,)."""
    return _mean([_ratio(*_wins(*task)) for task in _by_task(part, counts)], len(counts))


def roc_auc_within(part: Scored, counts: Floats) -> Floats:
    """ROC-AUC over pairs of episodes of the same task, (B,)."""
    tasks = [_wins(*task) for task in _by_task(part, counts)]
    return _ratio(_total([wins for wins, _ in tasks], len(counts)), _total([pairs for _, pairs in tasks], len(counts)))


def pr_auc(part: Scored, counts: Floats) -> Floats:
    """Pooled average precision, (B,)."""
    return _ratio(*_precisions(part.scores, part.failed, counts))


def pr_auc_macro(part: Scored, counts: Floats) -> Floats:
    """Mean of the tasks' average precision, (B,)."""
    return _mean([_ratio(*_precisions(*task)) for task in _by_task(part, counts)], len(counts))


def pr_auc_within(part: Scored, counts: Floats) -> Floats:
    """Mean of the tasks' average precision, weighted by their failures, (B,)."""
    tasks = [_precisions(*task) for task in _by_task(part, counts)]
    return _ratio(_total([s for s, _ in tasks], len(counts)), _total([n for _, n in tasks], len(counts)))


STATISTICS: Mapping[str, Statistic] = {
    f.__name__: f for f in (roc_auc, roc_auc_macro, roc_auc_within, pr_auc, pr_auc_macro, pr_auc_within)
}


def estimate(part: Scored, statistic: Statistic) -> float:
    """The statistic of the episodes as they are; NaN when there are none."""
    return float(statistic(part, np.ones((1, len(part.ids))))[0]) if part.ids else float("nan")


def _by_task(part: Scored, counts: Floats) -> list[tuple[Floats, NDArray[np.bool_], Floats]]:
    members = [part.tasks == task for task in part.mixed_tasks()]
    return [(part.scores[m], part.failed[m], counts[:, m]) for m in members]


def _groups(scores: Floats, failed: NDArray[np.bool_], counts: Floats) -> tuple[Floats, Floats]:
    """Failures and successes at each distinct score, from the highest down, (B, G) both."""
    if not len(scores):
        return np.zeros((len(counts), 0)), np.zeros((len(counts), 0))
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    starts = np.flatnonzero(np.r_[True, falling[1:] != falling[:-1]])
    ranked, bad = counts[:, order], failed[order]
    return np.add.reduceat(ranked * bad, starts, axis=1), np.add.reduceat(ranked * ~bad, starts, axis=1)


def _wins(scores: Floats, failed: NDArray[np.bool_], counts: Floats) -> tuple[Floats, Floats]:
    """Pairs (failure, success) in which the failure scores higher, ties half, and all pairs; (B,) both."""
    failures, successes = _groups(scores, failed, counts)
    above = np.cumsum(failures, axis=1) - failures / 2
    return (successes * above).sum(axis=1), failures.sum(axis=1) * successes.sum(axis=1)


def _precisions(scores: Floats, failed: NDArray[np.bool_], counts: Floats) -> tuple[Floats, Floats]:
    """Sum over failures of the precision at their score, and their number; (B,) both."""
    failures, successes = _groups(scores, failed, counts)
    hits = np.cumsum(failures, axis=1)
    flagged = hits + np.cumsum(successes, axis=1)
    precision = np.divide(hits, flagged, out=np.zeros_like(hits), where=flagged > 0)
    return (failures * precision).sum(axis=1), failures.sum(axis=1)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _total(parts: list[Floats], draws: int) -> Floats:
    return np.sum(parts, axis=0) if parts else np.zeros(draws)


def _mean(values: list[Floats], draws: int) -> Floats:
    """Mean over tasks; a draw in which a task lost one outcome goes without that task."""
    stacked = np.array(values).reshape(-1, draws)
    known = np.isfinite(stacked)
    return _ratio(np.where(known, stacked, 0).sum(axis=0), known.sum(axis=0).astype(np.float64))
