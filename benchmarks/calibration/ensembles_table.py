"""From the scores of episodes to a row: do first frames tell hard tasks apart, and episodes their own failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.estimators.sampling import Array
from vla_uq.detectors.aggregate import aggregate
from vla_uq.evaluation.bootstrap import Interval, difference, interval
from vla_uq.evaluation.protocol import CutOffs, peak
from vla_uq.evaluation.ranking import Scored, roc_auc, roc_auc_within
from vla_uq.rollouts.store import RolloutMeta

CONDITIONS = ("none", "outside", "push", "lights", "recolour", "unseen")
LATER = "push"
"""Comes in mid-episode: no first frame can know of it."""
FEWEST = 3
"""Episodes of either outcome without which a condition has no figure."""
AGGREGATOR = "running_mean"
DRAWS = 1000

Curves = Mapping[str, Array]
"""Episode id to its scores, (T,)."""


class Episodes:
    """What all ways to share are measured on.

    Every episode is read up to the shortest undisturbed one of its task, one of a task that is never undisturbed up to
    the shortest of all.
    """

    def __init__(self, metas: Sequence[RolloutMeta], lengths: Mapping[str, int]) -> None:
        self.metas = list(metas)
        self._cuts = CutOffs.shortest((m.task, lengths[m.episode_id]) for m in metas if m.nominal)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Failures and successes of each condition."""
        found = {name: [m.success for m in self.metas if m.disturbance == name] for name in CONDITIONS}
        return {name: (wins.count(False), wins.count(True)) for name, wins in found.items() if wins}

    def scored(self, curves: Curves, condition: str = "") -> Scored:
        """The highest running mean of each episode; of one condition, or of all."""
        kept = [m for m in self.metas if condition in ("", m.disturbance)]
        peaks = [peak(aggregate(AGGREGATOR, curves[m.episode_id]), self._cuts.of(m.task)) for m in kept]
        return Scored(
            tuple(m.episode_id for m in kept),
            np.array(peaks),
            np.array([not m.success for m in kept]),
            np.array([f"{m.disturbance}: {m.task}" for m in kept]),
        )

    def detection(self, parts: Sequence[Curves]) -> dict[str, Interval]:
        """ROC-AUC of failure, mean over equivalent ensembles: pooled, within task and condition, by condition."""
        pooled = [self.scored(curves) for curves in parts]
        found = {"all": interval(pooled, roc_auc), "within": interval(pooled, roc_auc_within)}
        for name, counts in self.counts().items():
            if min(counts) >= FEWEST:
                found[name] = interval([self.scored(curves, name) for curves in parts], roc_auc)
        return found

    def levels(self, parts: Sequence[Curves]) -> dict[str, dict[str, float]]:
        """Median of the highest running mean of each condition's successes and failures, over all ensembles."""
        found = {}
        for name in self.counts():
            scored = [self.scored(curves, name) for curves in parts]
            scores, failed = (np.concatenate([getattr(s, field) for s in scored]) for field in ("scores", "failed"))
            sides = {"success": scores[~failed], "failure": scores[failed]}
            found[name] = {side: float(np.median(values)) for side, values in sides.items() if len(values)}
        return found

    def lead(self, parts: Sequence[Curves], others: Sequence[Curves]) -> Interval:
        """How much more area ``parts`` have than ``others`` on the same episodes, pooled."""
        first, second = ([self.scored(curves) for curves in side] for side in (parts, others))
        pairs = [(a, b) for a in first for b in second]
        return difference([a for a, _ in pairs], [b for _, b in pairs], roc_auc)

    def calibration(self, parts: Sequence[Curves], seed: int, conditions: Sequence[str] = CONDITIONS) -> Interval:
        """−Spearman of mean first-frame score with success over pairs of task and condition.

        The interval draws tasks, each with all its conditions; the estimate is the mean over equivalent ensembles.
        """
        keys, first, success = self._pairs(parts, conditions)
        tasks = sorted({task for task, _ in keys})
        rows = [np.array([i for i, key in enumerate(keys) if key[0] == task]) for task in tasks]
        rng = np.random.default_rng(seed)
        drawn = [
            _correlation(first, success, np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))]))
            for _ in range(DRAWS)
        ]
        low, high = np.nanquantile(drawn, (0.025, 0.975))
        return Interval(_correlation(first, success, np.arange(len(keys))), float(low), float(high))

    def within_conditions(self, parts: Sequence[Curves]) -> dict[str, float]:
        """The same over the tasks of one condition, for those that show at once and in which success varies."""
        usable = [n for n, counts in self.counts().items() if n != LATER and min(counts) >= FEWEST]
        pairs = {name: self._pairs(parts, (name,)) for name in usable}
        return {
            name: _correlation(first, success, np.arange(len(keys))) for name, (keys, first, success) in pairs.items()
        }

    def _pairs(self, parts: Sequence[Curves], conditions: Sequence[str]) -> tuple[list[tuple[str, str]], Array, Array]:
        """Pairs of task and condition, the mean first-frame scores (part, pair) and the success (pair,)."""
        keys = sorted({(m.task, m.disturbance) for m in self.metas if m.disturbance in conditions})
        episodes = [[m for m in self.metas if (m.task, m.disturbance) == key] for key in keys]
        first = [[np.mean([curves[m.episode_id][0] for m in each]) for each in episodes] for curves in parts]
        return keys, np.array(first), np.array([np.mean([bool(m.success) for m in each]) for each in episodes])


def columns_of(name: str, found: Interval | None) -> dict[str, Any]:
    """An estimate and its interval as three columns; empty where there is none."""
    if found is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _correlation(first: Array, success: Array, rows: NDArray[np.intp]) -> float:
    if len(set(success[rows].tolist())) < 2:
        return float("nan")
    return -float(np.mean([spearmanr(scores[rows], success[rows]).statistic for scores in first]))
