"""Action-chunk entropy."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_uq.detectors.ace import Ace
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout, RolloutMeta
from vla_uq.uncertainty.ace import ace, positions

Floats = NDArray[np.float64]
SEEDS = st.integers(0, 2**32 - 1)
UNIT = np.ones(3)


def chunks(seed: int, draws: int = 8, horizon: int = 4, dim: int = 7) -> Floats:
    return np.random.default_rng(seed).normal(size=(draws, horizon, dim))


def episode(samples: Floats, success: bool | None = True, number: int = 0) -> Rollout:
    """An episode with the draws of one member, (T, draw, H, A)."""
    meta = RolloutMeta(f"e{number}", "t", 0, "none", success, 9, "p")
    return Rollout(meta, {"samples": samples[:, None].astype(np.float32)})


def counted(places: Floats, ranges: Floats) -> float:
    """ACE as the papers put it: a histogram for each action of the chunk."""
    entropies = []
    for action in places.swapaxes(0, 1):
        low = action.min(axis=0) - 0.01 * (action.max(axis=0) - action.min(axis=0))
        cells = Counter(tuple(math.floor(x) for x in (place - low) / (0.03 * ranges)) for place in action)
        shares = [n / len(action) for n in cells.values()]
        entropies.append(-sum(p * math.log2(p) for p in shares))
    return float(np.mean(entropies))


@given(SEEDS, st.integers(2, 12), st.floats(0.5, 100))
def test_is_the_entropy_of_a_histogram(seed: int, draws: int, extent: float) -> None:
    places = positions(chunks(seed, draws))
    assert ace(places, extent * UNIT) == pytest.approx(counted(places, extent * UNIT), abs=1e-12)


def test_values() -> None:
    two_places = np.zeros((4, 1, 3))
    two_places[2:, 0, 1] = 1.0
    assert ace(two_places, UNIT) == pytest.approx(1.0)
    # The second action brings all together again, so the mean over the chunk is half of it.
    assert ace(positions(np.concatenate([two_places, -two_places], axis=1)), UNIT) == pytest.approx(0.5)
    close = np.zeros((4, 1, 3))
    close[:, 0, 0] = [0, 0.01, 0.02, 0.029]  # one cell of 0.03
    assert ace(close, UNIT) == 0
    assert ace(close, UNIT / 10) == pytest.approx(2.0)


@given(SEEDS, st.integers(2, 20), st.floats(0, 100))
def test_between_zero_and_the_logarithm_of_the_draws(seed: int, draws: int, spread: float) -> None:
    value = ace(positions(spread * chunks(seed, draws)), UNIT)
    assert 0 <= value <= math.log2(draws) + 1e-12


@given(SEEDS, st.booleans())
def test_identical_draws_have_none(seed: int, own_ranges: bool) -> None:
    samples = np.repeat(chunks(seed, draws=1), 6, axis=0)
    assert ace(positions(samples), None if own_ranges else UNIT) == 0
    assert ace(np.zeros((6, 4, 3)), None) == 0


@given(SEEDS)
def test_draws_that_scatter_wide_reach_the_maximum(seed: int) -> None:
    assert ace(1e6 * chunks(seed, draws=16)[..., :3], UNIT) == pytest.approx(4.0)


@given(SEEDS)
def test_neither_rotation_nor_gripper_nor_order_counts(seed: int) -> None:
    samples = chunks(seed)
    other = np.random.default_rng(seed).permutation(samples)
    other[..., 3:] += 5
    for ranges in (UNIT, None):
        assert ace(positions(other), ranges) == pytest.approx(ace(positions(samples), ranges), abs=1e-12)


@given(SEEDS, st.integers(-5, 5))
def test_ranges_of_the_observation_free_it_of_its_scale(seed: int, power: int) -> None:
    places = positions(chunks(seed))
    assert ace(2.0**power * places, None) == ace(places, None)
    assert ace(2.0**power * places, 2.0**power * UNIT) == ace(places, UNIT)


@given(SEEDS)
def test_planar_actions_are_those_with_a_third_column_of_zeros(seed: int) -> None:
    samples = chunks(seed, dim=2)
    padded = np.concatenate([samples, np.zeros((*samples.shape[:2], 1))], axis=-1)
    assert ace(positions(samples), None) == ace(positions(padded), None)
    assert ace(positions(samples), np.ones(2)) == ace(positions(padded), np.array([1.0, 1.0, 0.0]))


def test_a_dimension_without_a_range_takes_the_largest() -> None:
    places = chunks(0)[..., :3]
    assert ace(places, np.array([2.0, 0.0, 5.0])) == ace(places, np.array([2.0, 5.0, 5.0]))


def test_motion_says_what_the_columns_are() -> None:
    samples = chunks(0)
    np.testing.assert_allclose(positions(samples)[:, -1], samples[..., :3].sum(axis=1))
    np.testing.assert_array_equal(positions(samples, "absolute"), samples[..., :3])
    with pytest.raises(InputError, match=r"^motion: unknown motion; expected delta, absolute; found circular"):
        positions(samples, "circular")


def test_ranges_are_those_of_all_episodes_that_did_not_fail() -> None:
    samples = np.random.default_rng(0).normal(size=(3, 6, 8, 4, 7))
    samples[2] *= 50
    detector = Ace()
    detector.fit([episode(samples[0]), episode(samples[1], None, 1), episode(samples[2], False, 2)])
    expected = np.ptp(positions(samples[:2].astype(np.float32)).reshape(-1, 3), axis=0)
    np.testing.assert_allclose(detector.state()[0]["ranges"], expected)
    places = positions(samples[2].astype(np.float32))
    np.testing.assert_allclose(detector.score(episode(samples[2])), [counted(p, expected) for p in places])


def test_own_ranges_need_no_state() -> None:
    samples = np.random.default_rng(0).normal(size=(6, 8, 4, 7))
    detector = Ace(ranges_of="observation")
    detector.fit([episode(samples)])
    assert detector.state()[0] == {}
    twin = Ace.from_state(*detector.state(), where="twin")
    np.testing.assert_array_equal(twin.score(episode(samples)), detector.score(episode(1000 * samples)))


def test_a_spoilt_inference_does_not_spoil_the_ranges() -> None:
    samples = np.random.default_rng(0).normal(size=(6, 8, 4, 7))
    clean, spoilt = Ace(), Ace()
    clean.fit([episode(samples[1:])])
    samples[0, 0, 0, 0] = np.inf
    spoilt.fit([episode(samples)])
    np.testing.assert_array_equal(clean.state()[0]["ranges"], spoilt.state()[0]["ranges"])


def test_what_cannot_be_fitted_to() -> None:
    samples = np.random.default_rng(0).normal(size=(6, 8, 4, 7))
    with pytest.raises(InputError, match=r"^ace: ranges_of: ranges need episodes that did not fail; found failures"):
        Ace().fit([episode(samples, success=False)])
    with pytest.raises(InputError, match=r"^ace: samples: positions do not vary"):
        Ace().fit([episode(np.zeros_like(samples))])
    with pytest.raises(InputError, match=r"^ranges_of: unknown choice; expected episodes, observation; found task"):
        Ace(ranges_of="task")
