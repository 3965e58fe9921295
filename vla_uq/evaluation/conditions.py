"""What a detector is worth under each condition: which novelty it alarms on, and whether that was failure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError
from vla_uq.evaluation.ranking import STATISTICS, Scored, estimate
from vla_uq.evaluation.results import TESTED, Alarms, RunResult
from vla_uq.evaluation.table import PREFIX, Comparison, mean
from vla_uq.evaluation.thresholds import THRESHOLDS

ALL = "all"
"""Stands for the episodes of all conditions together."""
Mask = NDArray[np.bool_]


def of_conditions(scored: Sequence[Scored], conditions: Mapping[str, str]) -> dict[str, list[Mask]]:
    """Which episodes of each split are of each condition; of :data:`ALL` first, all of them.

    :param conditions: of each episode, by id.
    """
    found = [np.array([conditions[name] for name in part.ids], np.str_) for part in scored]
    names = sorted({str(name) for part in found for name in part})
    return {ALL: [part == part for part in found], **{name: [part == name for part in found] for name in names}}


def by_condition(comparison: Comparison, row: str, alpha: float) -> list[dict[str, Any]]:
    """One mapping for each test part and condition, figures being means over the splits.

    ``roc_auc`` is length-matched. ``<threshold>_tpr`` and ``<threshold>_far`` are the shares of failures and of
    successes with an alarm in the whole episode; with ``_matched`` in the steps that ``roc_auc`` is about.
    ``<threshold>_refused`` says why a split has none.

    :raises InputError: when no threshold was calibrated for ``alpha``.
    """
    conditions = {name: meta.disturbance for name, meta in comparison.metas.items()}
    runs, rows = comparison.of(row), []
    for part in TESTED:
        scored = comparison.scored(row, part)
        for condition, masks in of_conditions(scored, conditions).items():
            chosen = [s.pick(mask) for s, mask in zip(scored, masks, strict=True)]
            found: dict[str, Any] = {
                "row": row,
                "control": runs[0].control,
                "tasks": PREFIX[part],
                "condition": condition,
                "successes": sum(int((~s.failed).sum()) for s in chosen),
                "failures": sum(int(s.failed.sum()) for s in chosen),
                "roc_auc": mean(estimate(s, STATISTICS["roc_auc"]) for s in chosen),
            }
            for threshold in THRESHOLDS:
                rates = [
                    _rates(run, threshold, alpha, part, m, s) for run, m, s in zip(runs, masks, chosen, strict=True)
                ]
                refused = (alarms_of(run, threshold, alpha).refused for run in runs)
                found[f"{threshold}_refused"] = next(filter(None, refused), "")
                for name in rates[0]:
                    found[f"{threshold}_{name}"] = mean(rate[name] for rate in rates)
            rows.append(found)
    return rows


def alarms_of(run: RunResult, threshold: str, alpha: float) -> Alarms:
    """A run's alarms under one threshold.

    :raises InputError: when it was not among those asked for.
    """
    for alarms in run.alarms:
        if alarms.threshold == threshold and math.isclose(alarms.alpha, alpha):
            return alarms
    raise InputError("no threshold was calibrated for it", where="alpha", found=alpha)


def _rates(run: RunResult, threshold: str, alpha: float, part: str, mask: Mask, scored: Scored) -> dict[str, float]:
    """Shares of the failures and of the successes with an alarm, NaN where there are none."""
    alarms = alarms_of(run, threshold, alpha)
    if alarms.refused:
        return dict.fromkeys(("tpr", "far", "tpr_matched", "far_matched"), math.nan)
    first, read = np.array(alarms.first[part])[mask], np.array(run.read[part])[mask]
    rates = {}
    for suffix, alarmed in (("", first >= 0), ("_matched", (first >= 0) & (first < read))):
        rates[f"tpr{suffix}"] = mean(alarmed[scored.failed].astype(float))
        rates[f"far{suffix}"] = mean(alarmed[~scored.failed].astype(float))
    return rates
