"""The functional band: the golden values of the published construction, with the order statistic in place."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_uq.calibration.functional import FunctionalBand, Modulation, align, split
from vla_uq.errors import InputError

A = [np.array(c, float) for c in ([0, 1, 2, 3], [1, 1, 2, 5], [0, 2, 3, 3])]
B = [np.array(c, float) for c in ([0, 1, 3, 4], [1, 2, 2, 6], [0.5, 1, 2, 2], [0, 0, 1, 3], [1, 3, 3, 4])]


def test_golden_at_a_fifth() -> None:
    modulation = Modulation.fit(A, 0.2)
    assert modulation.mean == pytest.approx([0.3333, 1.3333, 2.3333, 3.6667], abs=1e-4)
    assert modulation.scale == pytest.approx([0.66667, 0.66667, 0.66667, 1.33333], abs=1e-5)
    worst = [modulation.standardise(c).max() for c in B]
    assert worst == pytest.approx([1, 1.75, 0.25, -0.5, 2.5], abs=1e-6)
    band = FunctionalBand.calibrate(modulation, B, 0.2)
    assert band.factor == pytest.approx(2.5)
    assert band.upper() == pytest.approx([2, 3, 4, 7])


def test_golden_at_a_half() -> None:
    modulation = Modulation.fit(A, 0.5)
    assert modulation.scale == pytest.approx([0.33333, 0.66667, 0.66667, 0.66667], abs=1e-5)
    assert [modulation.standardise(c).max() for c in B] == pytest.approx([1, 3.5, 0.5, -1, 2.5], abs=1e-6)
    band = FunctionalBand.calibrate(modulation, B, 0.5)
    assert band.factor == pytest.approx(1.0)
    assert band.upper() == pytest.approx([0.66667, 2, 3, 4.33333], abs=1e-5)


def test_too_few_curves_are_refused_with_what_they_allow() -> None:
    with pytest.raises(InputError, match=r"n >= 9 for alpha 0.1; found n = 5, which allows alpha >= 0.1667"):
        FunctionalBand.calibrate(Modulation.fit(A, 0.1), B, 0.1)
    assert FunctionalBand.calibrate(Modulation.fit(A, 1 / 6), B, 1 / 6).factor == pytest.approx(2.5)


def test_passes_at_the_band_itself_and_not_with_nan() -> None:
    band = FunctionalBand.calibrate(Modulation(np.zeros(2), np.ones(2)), [np.array([0.0, 1.0])], 0.5)
    assert band.passes(np.array([1.0, 1.0 + 1e-9, np.nan, np.inf])).tolist() == [True, False, False, False]


def test_curves_go_on_with_their_last_value() -> None:
    aligned = align([np.array([1.0, 2.0]), np.array([3.0]), np.array([4.0, 5.0, 6.0])])
    assert aligned.tolist() == [[1, 2, 2], [3, 3, 3], [4, 5, 6]]
    assert align([np.array([1.0, 2.0, 3.0])], 2).tolist() == [[1, 2]]


def test_beyond_the_longest_curve_the_last_value_holds() -> None:
    modulation = Modulation(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    assert modulation.standardise(np.array([1.0, 1.0, 3.0, 5.0])).tolist() == [1, 0, 1, 2]
    assert modulation.standardise(np.array([5.0]), first=7).tolist() == [2]
    assert modulation.level(2.0, 0) == 2
    assert modulation.level(2.0, 7) == 5
    assert FunctionalBand(modulation, 2.0, 0.1, 10).upper(4).tolist() == [2, 5, 5, 5]


def test_steps_without_spread_get_a_relative_floor() -> None:
    rng = np.random.default_rng(0)
    curves = [np.concatenate([[0.0], rng.normal(size=5)]) for _ in range(20)]
    modulation = Modulation.fit(curves, 0.1)
    assert modulation.scale[0] == pytest.approx(0.05 * modulation.scale.max())
    flat = Modulation.fit([np.full(3, 7.0)] * 4, 0.1)
    assert (flat.scale == 7e-6).all()
    assert (Modulation.fit([np.zeros(3)] * 4, 0.1).scale > 0).all()


def test_constant_modulation_does_not_know_the_step() -> None:
    modulation = Modulation.fit([np.array([0.0, 2.0]), np.array([1.0, 1.0, 1.0, 1.0])], 0.1, constant=True)
    assert modulation.mean == pytest.approx([1.0])
    assert modulation.scale == pytest.approx([1.0])


def test_split_has_its_own_seed() -> None:
    np.random.seed(1)
    first = split(20, 3, 0.3)
    np.random.seed(2)
    assert split(20, 3, 0.3) == first
    assert split(20, 4, 0.3) != first
    assert (len(first[0]), len(first[1])) == (6, 14)
    assert sorted(first[0] + first[1]) == list(range(20))


@pytest.mark.parametrize(("n", "sizes"), [(3, (2, 1)), (4, (2, 2)), (10, (3, 7))])
def test_split_of_few(n: int, sizes: tuple[int, int]) -> None:
    assert tuple(map(len, split(n, 0, 0.3))) == sizes


def test_refuses_what_cannot_be_split_or_is_not_finite() -> None:
    with pytest.raises(InputError, match="expected at least 3; found 2"):
        split(2, 0, 0.3)
    with pytest.raises(InputError, match="a score is not finite"):
        Modulation.fit([A[0], np.array([math.nan])], 0.2)
    with pytest.raises(InputError, match="a score is not finite"):
        FunctionalBand.calibrate(Modulation.fit(A, 0.5), [*B, np.array([math.inf])], 0.5)
    with pytest.raises(InputError, match="too few curves"):
        Modulation.fit([A[0], np.array([])], 0.2)


def test_band_covers_as_promised() -> None:
    """False alarms over many calibrations equal (n + 1 - k) / (n + 1), which is at most alpha."""
    rng = np.random.default_rng(5)
    alpha, n, rates = 0.2, 27, []
    for repetition in range(300):
        walks = [np.cumsum(rng.normal(size=rng.integers(4, 12))) for _ in range(n + 20)]
        band = FunctionalBand.fit(walks[:n], alpha, seed=repetition)
        rates.append(np.mean([not band.passes(c).all() for c in walks[n:]]))
    assert band.n == 19
    error = np.std(rates) / math.sqrt(len(rates))
    assert abs(np.mean(rates) - (20 - math.ceil(20 * 0.8)) / 20) < 4 * error
