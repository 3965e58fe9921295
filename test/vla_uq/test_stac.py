"""STAC, its single-chunk variant, and the discrepancy under them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_uq.detectors.stac import Stac, StacMedian, StacSingle
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout, RolloutMeta
from vla_uq.uncertainty.mmd import median_beta, mmd2, squared_distances
from vla_uq.uncertainty.stac import stac, stac_single

Floats = NDArray[np.float64]
SEEDS = st.integers(0, 2**32 - 1)
GOLDEN = np.arange(48).reshape(2, 3, 4, 2) / 10
GOLDEN[1] += [0.1, -0.2]


def rollout(samples: NDArray[np.floating], execute_steps: int = 2, number: int = 0) -> Rollout:
    """An episode with the draws of one member, (T, draw, H, A)."""
    meta = RolloutMeta(f"e{number}", "t", 0, "none", True, 9, "p", execute_steps=execute_steps)
    return Rollout(meta, {"samples": np.asarray(samples, np.float32)[:, None]})


def random_samples(seed: int, steps: int = 6, draws: int = 5, horizon: int = 4, dim: int = 7) -> Floats:
    return np.random.default_rng(seed).normal(size=(steps, draws, horizon, dim))


def test_golden_stac() -> None:
    detector = Stac("none")
    detector.fit([rollout(GOLDEN)])
    assert detector.score(rollout(GOLDEN)) == pytest.approx([0, 0.6089], abs=5e-5)


def test_golden_stac_single() -> None:
    detector = StacSingle("none")
    detector.fit([rollout(GOLDEN)])
    assert detector.score(rollout(GOLDEN)) == pytest.approx([0, 2.7659], abs=5e-5)


@given(SEEDS, st.integers(1, 6), st.integers(1, 6), st.floats(0.1, 100))
def test_discrepancy_is_the_definition(seed: int, n: int, m: int, beta: float) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 3)), rng.normal(size=(m, 3)) + 0.5

    def mean_kernel(a: Floats, b: Floats) -> float:
        return float(np.mean([[math.exp(-float(np.sum((p - q) ** 2)) / beta) for q in b] for p in a]))

    expected = mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)
    assert mmd2(x, y, beta) == pytest.approx(expected, abs=1e-12)


@given(SEEDS, st.integers(2, 6), st.booleans())
def test_median_heuristic_is_the_definition(seed: int, n: int, on_a_grid: bool) -> None:
    points = np.random.default_rng(seed).normal(size=(2 * n, 2))
    if on_a_grid:  # some distances are zero, and do not count
        points = points.round()
    squares = ((points[:, None] - points[None]) ** 2).sum(axis=-1)
    if not squares.any():
        return
    assert median_beta(squared_distances(points)) == pytest.approx(2 * np.median(squares[squares > 0]))


def test_distances_survive_an_offset_and_equal_points_have_none() -> None:
    points = np.repeat(np.random.default_rng(0).normal(size=(4, 50)), 2, axis=0)
    squares = squared_distances(points + 1000)
    np.testing.assert_allclose(squares, ((points[:, None] - points[None]) ** 2).sum(axis=-1), rtol=1e-9)
    assert (squares == 0).sum() == 16


def test_a_policy_that_always_draws_the_same_is_told_from_one_that_changed_its_mind() -> None:
    x, y = np.zeros((5, 3)), np.full((5, 3), 1e-3)
    assert mmd2(x, x, None) == 0
    assert mmd2(x, y, None) == pytest.approx(2 - 2 * math.exp(-1 / 2))


@given(SEEDS)
def test_b13_a_policy_that_keeps_its_plan_scores_zero_and_higher_is_worse(seed: int) -> None:
    plan = np.random.default_rng(seed).normal(size=(8, 7))
    chunks = np.stack([plan[0:4], plan[2:6], plan[4:8]])[:, None].repeat(3, axis=1)
    for kind in (Stac, StacMedian, StacSingle):
        detector = kind("none")
        detector.fit([rollout(chunks)])
        assert detector.score(rollout(chunks)) == pytest.approx([0, 0, 0], abs=1e-9)
        off = [detector.score(rollout(chunks + np.array([0, shift, 0]).reshape(3, 1, 1, 1))) for shift in (0.05, 0.2)]
        assert (off[0][1:] > 0).all()
        assert (off[1][1:] >= off[0][1:]).all()


@given(SEEDS)
def test_only_the_fixed_kernel_knows_the_scale(seed: int) -> None:
    before, now = random_samples(seed, steps=2)
    assert stac(3 * before, 3 * now, 2, beta=None) == pytest.approx(stac(before, now, 2, beta=None))
    assert stac(3 * before, 3 * now, 2, beta=9.0) == pytest.approx(stac(before, now, 2, beta=1.0))
    assert stac_single(3 * before[0], 3 * now[0], 2) == pytest.approx(3 * stac_single(before[0], now[0], 2))


@given(SEEDS)
def test_the_order_of_the_draws_does_not_matter(seed: int) -> None:
    before, now = random_samples(seed, steps=2)
    shuffled = np.random.default_rng(seed).permutation(now)
    for beta in (1.0, None):
        assert stac(before, shuffled, 2, beta=beta) == pytest.approx(stac(before, now, 2, beta=beta), abs=1e-12)


def test_sentinels_variant_leaves_the_gripper_out() -> None:
    samples = random_samples(0) / 4
    other = samples.copy()
    other[..., 6] += np.random.default_rng(1).normal(size=other[..., 6].shape)
    for kind in (Stac, StacMedian, StacSingle):
        scores = []
        for columns in ("pose", "all"):
            detector = kind("none", columns=columns)
            detector.fit([rollout(samples)])
            scores.append(np.abs(detector.score(rollout(samples)) - detector.score(rollout(other))).max())
        assert scores[0] == 0
        assert scores[1] > 1e-3


@pytest.mark.parametrize("kind", [Stac, StacMedian, StacSingle])
class TestFitting:
    def test_b14_without_an_overlap_it_is_refused_instead_of_zero(self, kind: type[Stac]) -> None:
        with pytest.raises(InputError, match=r"execute_steps: chunks .* do not overlap; expected 1 to 3 .*; found 4"):
            kind("none").fit([rollout(random_samples(0), execute_steps=4)])
        with pytest.raises(InputError, match="do not overlap"):
            kind("none", execute_steps=9).fit([rollout(random_samples(0))])

    def test_steps_are_those_of_the_fitting_episodes_unless_given(self, kind: type[Stac]) -> None:
        detector = kind("none")
        detector.fit([rollout(random_samples(i), execute_steps=3, number=i) for i in range(2)])
        assert detector.execute_steps == 3
        detector = kind("none", execute_steps=1)
        detector.fit([rollout(random_samples(0), execute_steps=3)])
        assert detector.execute_steps == 1

    def test_unknown_or_mixed_steps_are_refused(self, kind: type[Stac]) -> None:
        with pytest.raises(InputError, match=r"execute_steps: .*; found unknown; fit to episodes of one kind, or give"):
            kind("none").fit([rollout(random_samples(0), execute_steps=0)])
        with pytest.raises(InputError, match=r"execute_steps: .*; found unknown, 1, 2"):
            kind("none").fit([rollout(random_samples(i), execute_steps=i, number=i) for i in range(3)])

    def test_an_episode_begins_without_a_past(self, kind: type[Stac]) -> None:
        samples = random_samples(0)
        detector = kind("none")
        detector.fit([rollout(samples)])
        expected = detector.score(rollout(samples))
        for _ in range(2):
            detector.reset()
            streamed = [detector.update({"samples": s[None].astype(np.float32)}) for s in samples]
            np.testing.assert_allclose(streamed, expected, rtol=1e-9)
            assert streamed[0] == 0

    def test_a_step_that_is_not_finite_spoils_the_next_comparison_too(self, kind: type[Stac]) -> None:
        samples = random_samples(0)
        detector = kind("none")
        detector.fit([rollout(samples)])
        samples[2, 0, 0, 0] = np.nan
        scores = detector.score(rollout(samples))
        assert np.flatnonzero(np.isnan(scores)).tolist() == [2, 3]
        detector.reset()
        np.testing.assert_array_equal(
            np.isnan([detector.update({"samples": s[None].astype(np.float32)}) for s in samples]), np.isnan(scores)
        )


def test_the_trace_may_be_overwritten_between_steps() -> None:
    samples = random_samples(0).astype(np.float32)
    detector = StacSingle("none")
    detector.fit([rollout(samples)])
    expected = detector.score(rollout(samples))
    detector.reset()
    shared, found = np.empty((1, *samples.shape[1:]), np.float32), []
    for step in samples:
        shared[0] = step
        found.append(detector.update({"samples": shared}))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan])
def test_a_scale_that_is_none(beta: float) -> None:
    with pytest.raises(InputError, match=r"^beta: must be positive"):
        Stac(beta=beta)
