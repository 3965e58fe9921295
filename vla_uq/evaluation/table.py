"""The comparison of detectors: one row each, means over the splits, intervals over episodes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from vla_uq.errors import InputError
from vla_uq.evaluation.alarms import AlarmReport
from vla_uq.evaluation.bootstrap import DRAWS, difference, interval
from vla_uq.evaluation.protocol import Protocol
from vla_uq.evaluation.ranking import STATISTICS, Scored, estimate
from vla_uq.evaluation.results import TESTED, Band, RunResult
from vla_uq.evaluation.splits import Split, task_key
from vla_uq.rollouts.store import RolloutMeta

PREFIX = {"test_seen": "seen", "unseen": "unseen"}
WITH_INTERVAL = ("roc_auc", "roc_auc_within")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Results of several rows on the same splits.

    :param metas: of all episodes of the splits, by id.
    :param draws: of the bootstrap.
    """

    results: Sequence[RunResult]
    splits: Sequence[Split]
    metas: Mapping[str, RolloutMeta]
    draws: int = DRAWS

    def names(self) -> list[str]:
        """The rows that have a result on every split, in order."""
        runs = [result.row for result in self.results if not result.refused]
        return [name for name in dict.fromkeys(runs) if runs.count(name) == len(self.splits)]

    def refused(self) -> dict[str, str]:
        """The other rows, and why."""
        good = set(self.names())
        return {r.row: r.refused for r in self.results if r.refused and r.row not in good}

    def of(self, row: str) -> list[RunResult]:
        """The results of a row, in the order of the splits.

        :raises InputError: when there are none.
        """
        found = {result.split: result for result in self.results if result.row == row and not result.refused}
        missing = [split.name for split in self.splits if split.name not in found]
        if missing:
            raise InputError("has no result", where=row, found=f"nothing on {', '.join(missing)}")
        return [found[split.name] for split in self.splits]

    def scored(self, row: str, part: str, protocol: Protocol = "matched") -> list[Scored]:
        """A row's scores of a part of each split."""
        return [
            self._scored(split.parts[part], result.peaks[part][protocol])
            for split, result in zip(self.splits, self.of(row), strict=True)
        ]

    def best(self, part: str = "unseen") -> str | None:
        """The row, controls aside, with the highest pooled length-matched ROC-AUC; None when none has one."""
        controls = {result.row for result in self.results if result.control}
        values = {name: self.mean(name, part) for name in self.names() if name not in controls}
        known = {name: value for name, value in values.items() if math.isfinite(value)}
        return max(known, key=lambda name: known[name]) if known else None

    def mean(self, row: str, part: str, statistic: str = "roc_auc", protocol: Protocol = "matched") -> float:
        """Mean of a statistic over the splits that have it."""
        return mean(estimate(scored, STATISTICS[statistic]) for scored in self.scored(row, part, protocol))

    def _scored(self, ids: Sequence[str], peaks: Sequence[float]) -> Scored:
        metas = [self.metas[name] for name in ids]
        failed = np.array([not meta.success for meta in metas], bool)
        return Scored(tuple(ids), np.array(peaks, np.float64), failed, np.array([task_key(meta) for meta in metas]))


def table(comparison: Comparison, alpha: float) -> list[dict[str, Any]]:
    """One mapping a row.

    Keys begin with ``seen_`` and ``unseen_``: each statistic of :data:`STATISTICS` (length-matched; ``_low`` and
    ``_high`` beside those of :data:`WITH_INTERVAL`), ``published`` and ``leaky`` (pooled ROC-AUC under the other
    protocols), the fields of :class:`AlarmReport` at ``alpha`` and, with ``leaky_`` before them, over whole episodes.

    :raises InputError: when no band was calibrated for ``alpha``.
    """
    best = comparison.best()
    return [_row(comparison, name, alpha, best) for name in comparison.names()]


def _row(comparison: Comparison, name: str, alpha: float, best: str | None) -> dict[str, Any]:
    runs = comparison.of(name)
    row: dict[str, Any] = {"row": name, "detector": runs[0].detector, "control": runs[0].control}
    for part in TESTED:
        prefix, scored = PREFIX[part], comparison.scored(name, part)
        row[f"{prefix}_episodes"] = sum(len(s.ids) for s in scored)
        row[f"{prefix}_failures"] = sum(int(s.failed.sum()) for s in scored)
        row[f"{prefix}_mixed_tasks"] = [len(s.mixed_tasks()) for s in scored]
        row[f"{prefix}_shorter_than_cut_off"] = sum(run.short[part] for run in runs)
        for key, statistic in STATISTICS.items():
            row[f"{prefix}_{key}"] = mean(estimate(s, statistic) for s in scored)
        for key in WITH_INTERVAL:
            found = interval(scored, STATISTICS[key], draws=comparison.draws)
            row |= {f"{prefix}_{key}_low": found.low, f"{prefix}_{key}_high": found.high}
        row[f"{prefix}_by_split"] = [estimate(s, STATISTICS["roc_auc"]) for s in scored]
        row[f"{prefix}_published"] = comparison.mean(name, part, protocol="published")
        row[f"{prefix}_leaky"] = comparison.mean(name, part, protocol="leaky")
        row |= {f"{prefix}_{key}": value for key, value in _rates(runs, part, alpha).items()}
        row[f"{prefix}_by_condition"] = _by_condition(comparison, scored)
    if best is not None:
        gap = difference(
            comparison.scored(name, "unseen"),
            comparison.scored(best, "unseen"),
            STATISTICS["roc_auc"],
            draws=comparison.draws,
        )
        row |= {"to_best": gap.value, "to_best_low": gap.low, "to_best_high": gap.high}
    row["chosen"] = [dict(run.chosen) for run in runs]
    row["fit_seconds"] = mean(run.fit_seconds for run in runs)
    row["step_microseconds"] = mean(run.step_microseconds for run in runs)
    return row


def _rates(runs: Sequence[RunResult], part: str, alpha: float) -> dict[str, Any]:
    """Means of the alarm reports of the splits that have a band, and how many have none."""
    bands = [band_of(run, alpha) for run in runs]
    found: dict[str, Any] = {"bands_refused": sum(bool(band.refused) for band in bands)}
    for protocol, prefix in (("matched", ""), ("leaky", "leaky_")):
        reports = [band.reports[part][protocol] for band in bands if not band.refused]
        for each in fields(AlarmReport):
            found[f"{prefix}{each.name}"] = mean(getattr(report, each.name) for report in reports)
    return found


def band_of(run: RunResult, alpha: float) -> Band:
    """A run's band of one alpha.

    :raises InputError: when it was not among those asked for.
    """
    for band in run.bands:
        if math.isclose(band.alpha, alpha):
            return band
    raise InputError("no band was calibrated for it", where="alpha", found=alpha)


def _by_condition(comparison: Comparison, scored: Sequence[Scored]) -> dict[str, float]:
    """Pooled ROC-AUC among the episodes of each condition."""
    conditions = sorted({comparison.metas[name].disturbance for part in scored for name in part.ids})
    found = {}
    for condition in conditions:
        chosen = [np.array([comparison.metas[n].disturbance == condition for n in part.ids]) for part in scored]
        parts = [part.pick(mask) for part, mask in zip(scored, chosen, strict=True)]
        found[condition] = mean(estimate(part, STATISTICS["roc_auc"]) for part in parts)
    return found


def mean(values: Iterable[float]) -> float:
    """Mean of the values that are known; NaN when none is."""
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan
