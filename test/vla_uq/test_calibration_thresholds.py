"""Thresholds on max-so-far, and the published thresholds beside ours: the golden values of the published code."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_uq.calibration import published
from vla_uq.calibration.functional import FunctionalBand, Modulation
from vla_uq.calibration.threshold import false_alarm_threshold, miss_threshold
from vla_uq.errors import InputError

A = [np.array(c, float) for c in ([0, 1, 2, 3], [1, 1, 2, 5], [0, 2, 3, 3])]
B = [np.array(c, float) for c in ([0, 1, 3, 4], [1, 2, 2, 6], [0.5, 1, 2, 2], [0, 0, 1, 3], [1, 3, 3, 4])]


@pytest.mark.parametrize(
    ("alpha", "upper"),
    [
        (0.2, [1.6, 2.6, 3.6, 6.2]),
        (0.1, [1.8, 2.8, 3.8, 6.6]),
        (0.5, [0.66667, 2, 3, 4.33333]),
    ],
)
def test_golden_published_band(alpha: float, upper: list[float]) -> None:
    assert published.band(A, B, alpha) == pytest.approx(upper, abs=1e-5)


def test_b7_order_statistic_where_the_published_band_interpolates() -> None:
    ours = FunctionalBand.calibrate(Modulation.fit(A, 0.2), B, 0.2)
    assert ours.upper() == pytest.approx([2, 3, 4, 7])
    assert (ours.upper() > published.band(A, B, 0.2)).all()
    with pytest.raises(InputError, match=r"allows alpha >= 0.1667"):
        FunctionalBand.calibrate(Modulation.fit(A, 0.1), B, 0.1)


def test_golden_split_on_successes() -> None:
    scores = [0.4, 0.1, 0.3, 0.2, 0.5, 0.7, 0.6, 0.9, 0.8]  # n = 9: rank ceil(10 (1 - alpha))
    assert false_alarm_threshold(scores, 0.1) == 0.9
    assert false_alarm_threshold(scores, 0.2) == 0.8
    assert false_alarm_threshold(scores, 0.25) == 0.8
    assert [published.split(scores, a) for a in (0.1, 0.2, 0.25)] == [0.9, 0.8, 0.8]


def test_b7_a_rank_above_n_is_refused_and_not_clipped() -> None:
    scores = [0.1, 0.3, 0.2]
    assert published.split(scores, 0.1) == 0.3
    with pytest.raises(InputError, match=r"n >= 9 for alpha 0.1; found n = 3, which allows alpha >= 0.25"):
        false_alarm_threshold(scores, 0.1)


def test_golden_split_on_failures() -> None:
    """The published threshold is 1 - that quantile of 1 - s, and alarms at or above; ours alarms above."""
    scores = [0.4, 0.1, 0.3, 0.2, 0.5, 0.7, 0.6, 0.9, 0.8]
    for alpha, smallest_caught in ((0.1, 0.1), (0.2, 0.2), (0.35, 0.3)):
        theirs = 1 - published.split([1 - s for s in scores], alpha)
        assert theirs == pytest.approx(smallest_caught)
        ours = miss_threshold(scores, alpha)
        assert [s > ours for s in scores] == [s >= smallest_caught for s in scores]
    with pytest.raises(InputError, match=r"allows alpha >= 0.1"):
        miss_threshold(scores, 0.05)


def test_golden_constant_of_fiper() -> None:
    assert published.constant([1.0, 2.0, 3.0, 4.0, 6.0], 0.1) == pytest.approx(5.2)


def test_misses_and_false_alarms_are_held() -> None:
    rng = np.random.default_rng(0)
    alarms, misses = [], []
    for _ in range(2000):
        calibration, new = rng.normal(size=29), rng.normal(size=20)
        alarms.append((new > false_alarm_threshold(calibration.tolist(), 0.1)).mean())
        misses.append((new <= miss_threshold(calibration.tolist(), 0.1)).mean())
    for rates in (alarms, misses):
        assert abs(np.mean(rates) - 0.1) < 4 * np.std(rates) / math.sqrt(len(rates))


def test_scores_that_are_not_finite_are_refused() -> None:
    for threshold in (false_alarm_threshold, miss_threshold):
        with pytest.raises(InputError, match="a score is not finite"):
            threshold([0.1, math.nan, 0.3], 0.5)
