"""The baselines of the VFD paper against closed forms, and what each of them cannot tell apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_uq.errors import InputError
from vla_uq.flow.quadrature import grid
from vla_uq.flow.sampling import Array, euler
from vla_uq.uncertainty import density, gu, terminal, tokens
from vla_uq.uncertainty.action_l2 import action_l2
from vla_uq.uncertainty.decu import decu, pairwise_information

SEEDS = st.integers(0, 2**32 - 1)


class GaussianField:
    """The exact velocity field of data N(mean, spread² I), without a singularity at t = 1."""

    def __init__(self, mean: float, spread: float) -> None:
        self.mean, self.spread = mean, spread

    def __call__(self, x: Array, t: Array) -> Array:
        t = np.asarray(t, np.float64)[:, None, None]
        variance = (1 - t) ** 2 + (t * self.spread) ** 2
        return self.mean + (t * self.spread**2 - (1 - t)) / variance * (x - t * self.mean)


def chunks(seed: int, members: int = 2, draws: int = 5) -> Array:
    return np.random.default_rng(seed).normal(size=(members, draws, 4, 3))


def test_action_l2_with_shared_noise_forgets_the_spread_within_a_member() -> None:
    bimodal = np.random.default_rng(0).choice([-1.0, 1.0], size=(1, 50, 1, 1)) * np.ones((2, 50, 1, 2))
    assert action_l2(bimodal, shared_noise=True) == 0.0
    assert action_l2(bimodal) > 1.0


def test_action_l2_is_the_mean_over_all_pairs_of_draws() -> None:
    samples = chunks(3, members=3)
    pairs = [np.linalg.norm(a - b) for j in (1, 2) for a in samples[0] for b in samples[j]]
    assert action_l2(samples) == pytest.approx(np.mean(pairs))


def test_gu_of_two_gaussian_members_follows_the_formula() -> None:
    samples = chunks(1)
    variances = (samples[0] - samples[1]) ** 2 / 2
    expected = np.log(variances + 1e-8).reshape(5, -1).sum(1).mean()
    assert gu.log_variance(samples) == pytest.approx(expected)
    biased = np.log(variances / 2 + 1e-3).reshape(5, -1).sum(1).mean() / 2 + 12 * (math.log(2 * math.pi) + 1) / 2
    assert gu.gaussian_entropy(samples) == pytest.approx(biased)


def test_gu_of_agreeing_members_is_the_floor() -> None:
    samples = np.repeat(chunks(1, members=1), 2, axis=0)
    assert gu.log_variance(samples) == pytest.approx(12 * math.log(1e-8))


@given(SEEDS, st.integers(2, 6), st.floats(0.01, 100))
def test_decu_lies_between_zero_and_ln_members(seed: int, members: int, scale: float) -> None:
    score = decu(scale * chunks(seed, members))
    assert -1e-12 <= score <= math.log(members) + 1e-12


def test_decu_saturates_where_the_disagreement_does_not() -> None:
    near, far = 10 * chunks(0), 100 * chunks(0)
    assert decu(near) == pytest.approx(math.log(2)) == decu(far)
    assert decu(np.repeat(chunks(0, members=1), 3, axis=0)) == pytest.approx(0.0, abs=1e-12)


def test_pairwise_information_of_two_members_rises_with_their_divergence() -> None:
    values = [pairwise_information(np.array([[0, d], [d, 0]])) for d in (0.0, 0.1, 1.0, 5.0)]
    assert values == sorted(values) and values[0] == 0.0


def test_perplexity_and_entropy_of_uniform_tokens() -> None:
    n = 8
    assert tokens.perplexity(np.full(5, -math.log(n))) == pytest.approx(n)
    assert tokens.token_entropy(np.full(5, math.log(n))) == pytest.approx(math.log(n))


@pytest.mark.parametrize("mean, spread", [(0.0, 1.0), (0.5, 0.5), (-1.0, 0.8)])
def test_flow_likelihood_of_a_gaussian(mean: float, spread: float) -> None:
    x = np.random.default_rng(0).normal(mean, spread, size=(64, 2, 3))
    exact = (((x - mean) / spread) ** 2).reshape(64, -1).sum(1) / 2 + 6 * math.log(spread * math.sqrt(2 * math.pi))
    found = density.negative_log_likelihood(GaussianField(mean, spread), x, steps=1000)
    np.testing.assert_allclose(found, exact, atol=0.1)


@pytest.mark.parametrize("spread", [1.0, 0.5, 0.3])
def test_flow_entropy_of_a_gaussian(spread: float) -> None:
    noise = np.random.default_rng(0).normal(size=(4096, 1, 2))
    found = density.entropy(euler(GaussianField(0.2, spread), noise, grid(200)))
    assert found == pytest.approx(1 + math.log(2 * math.pi) + 2 * math.log(spread), abs=0.1)


def test_terminal_scores_of_a_field_that_has_arrived_are_zero() -> None:
    def still(x: Array, t: Array) -> Array:
        return np.zeros_like(x)

    a = chunks(0)[0]
    assert terminal.terminal_norm(still, a) == 0.0 == terminal.mode_distance(still, a)


def test_mode_distance_weighs_the_way_that_is_left() -> None:
    def ones(x: Array, t: Array) -> Array:
        return np.ones_like(x)

    a = chunks(0)[0]
    assert terminal.terminal_norm(ones, a) == pytest.approx(math.sqrt(12))
    assert terminal.mode_distance(ones, a) == pytest.approx(0.9 * math.sqrt(12))


@given(SEEDS)
@settings(max_examples=20)
def test_order_of_draws_means_nothing(seed: int) -> None:
    samples = chunks(seed)
    turned = samples[:, ::-1]
    assert action_l2(turned) == pytest.approx(action_l2(samples))
    assert gu.log_variance(turned) == pytest.approx(gu.log_variance(samples))
    assert decu(turned) == pytest.approx(decu(samples))


@pytest.mark.parametrize("score", [action_l2, gu.log_variance, gu.gaussian_entropy, decu])
@pytest.mark.parametrize("shape", [(1, 2, 3, 4), (2, 3, 4), (2, 0, 3, 4)])
def test_wrong_shapes_are_named(score: object, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"samples|velocities"):
        score(np.zeros(shape))  # type: ignore[operator]
