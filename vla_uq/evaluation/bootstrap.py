"""Intervals of a statistic, and of the difference between two detectors, by resampling episodes.

Failures and successes are drawn separately, so that every draw has as many of each. The splits of several seeds share
episodes: an episode is drawn once, for all splits that test on it, and the statistic is the mean over the splits.
Two detectors are compared on the same draws. The intervals are over episodes; the tasks are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vla_uq.errors import InputError
from vla_uq.evaluation.ranking import Floats, Scored, Statistic, estimate

DRAWS = 1000


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % percentile interval; NaN where it cannot be had."""

    value: float
    low: float
    high: float


def interval(parts: Sequence[Scored], statistic: Statistic, *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """The mean of a statistic over the splits' test parts."""
    return _summary(
        [estimate(part, statistic) for part in parts],
        [statistic(part, counts) for part, counts in zip(parts, resample(parts, draws, seed), strict=True)],
    )


def difference(
    first: Sequence[Scored], second: Sequence[Scored], statistic: Statistic, *, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """``first`` minus ``second``, on the same episodes in the same draws.

    :raises InputError: when they were not scored on the same episodes.
    """
    if [part.ids for part in first] != [part.ids for part in second]:
        raise InputError("detectors were tested on different episodes", where="paired comparison")
    pairs = list(zip(first, second, resample(first, draws, seed), strict=True))
    return _summary(
        [estimate(a, statistic) - estimate(b, statistic) for a, b, _ in pairs],
        [statistic(a, counts) - statistic(b, counts) for a, b, counts in pairs],
    )


def resample(parts: Sequence[Scored], draws: int, seed: int) -> list[Floats]:
    """How often each episode of each part is drawn, (draws, n) a part."""
    rng = np.random.default_rng(seed)
    outcomes = {name: bool(failed) for part in parts for name, failed in zip(part.ids, part.failed, strict=True)}
    place = {name: i for i, name in enumerate(sorted(outcomes))}
    counts = np.zeros((draws, len(place)))
    for outcome in (False, True):
        members = [place[name] for name, failed in outcomes.items() if failed is outcome]
        if members:
            counts[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=draws)
    return [counts[:, [place[name] for name in part.ids]] for part in parts]


def _summary(values: Sequence[float], drawn: Sequence[Floats]) -> Interval:
    """Splits without an estimate (one outcome only) are left out, of the mean and of the draws."""
    known = [i for i, value in enumerate(values) if np.isfinite(value)]
    if not known:
        return Interval(np.nan, np.nan, np.nan)
    means = np.mean([drawn[i] for i in known], axis=0)
    means = means[np.isfinite(means)]
    low, high = np.quantile(means, (0.025, 0.975)) if len(means) else (np.nan, np.nan)
    return Interval(float(np.mean([values[i] for i in known])), float(low), float(high))
