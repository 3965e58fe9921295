"""What VFD must not depend on, and what it must."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_uq.errors import InputError
from vla_uq.flow.ensemble import one_way
from vla_uq.flow.quadrature import grid, weights
from vla_uq.flow.sampling import Array
from vla_uq.uncertainty.action_l2 import action_l2
from vla_uq.uncertainty.vfd import contributions, vfd

TIMES = grid(10)
SEEDS = st.integers(0, 2**32 - 1)


def fields(seed: int, actors: int = 1, members: int = 2, draws: int = 2, steps: int = 4, dims: int = 3) -> Array:
    return np.random.default_rng(seed).normal(size=(actors, members, draws, len(TIMES), steps, dims))


@given(SEEDS)
def test_no_disagreement_with_oneself(seed: int) -> None:
    v = fields(seed)
    v[:, 1] = v[:, 0]
    assert vfd(v, TIMES) == 0.0


@given(SEEDS, st.integers(2, 4))
def test_definition(seed: int, members: int) -> None:
    v = fields(seed, actors=members, members=members)
    pairs = [(i, j) for i in range(members) for j in range(members) if i != j]
    node_weights = weights(TIMES)
    expected = np.mean(
        [
            sum(node_weights[k] * np.sum((v[i, i, n, k] - v[i, j, n, k]) ** 2) for k in range(len(TIMES)))
            for i, j in pairs
            for n in range(v.shape[2])
        ]
    )
    assert vfd(v, TIMES) == pytest.approx(expected)


@given(SEEDS)
def test_two_way_does_not_know_the_members_order(seed: int) -> None:
    v = fields(seed, actors=3, members=3)
    order = [2, 0, 1]
    assert vfd(v[order][:, order], TIMES) == pytest.approx(vfd(v, TIMES))


@given(SEEDS)
def test_one_way_does_not_know_the_order_of_those_who_look(seed: int) -> None:
    v = fields(seed, members=4)
    assert vfd(v[:, [0, 3, 1, 2]], TIMES) == pytest.approx(vfd(v, TIMES))
    one_by_one = [vfd(v[:, [0, j]], TIMES) for j in (1, 2, 3)]
    assert vfd(v, TIMES) == pytest.approx(np.mean(one_by_one))


@given(SEEDS)
def test_many_inferences_or_draws_at_once_are_the_same_as_one_after_the_other(seed: int) -> None:
    episode = np.stack([fields(seed + t, members=3, draws=4) for t in range(3)])
    batched = contributions(episode, TIMES)
    assert batched.shape == (3, 4, 3)
    np.testing.assert_allclose(batched, [contributions(v, TIMES) for v in episode], rtol=1e-12)
    draws = [vfd(episode[0][:, :, n : n + 1], TIMES) for n in range(4)]
    assert vfd(episode[0], TIMES) == pytest.approx(np.mean(draws))


@given(SEEDS)
@settings(max_examples=25)
def test_rotation_of_the_chunk_changes_nothing(seed: int) -> None:
    v = fields(seed)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(12, 12)))
    turned = (v.reshape(*v.shape[:4], 12) @ rotation).reshape(v.shape)
    assert vfd(turned, TIMES) == pytest.approx(vfd(v, TIMES))


@given(SEEDS)
def test_padding_is_cut_off(seed: int) -> None:
    v = fields(seed)
    garbage = np.random.default_rng(seed + 1).normal(size=(*v.shape[:5], 5)) * 1e6
    assert vfd(np.concatenate([v, garbage], axis=-1), TIMES, dims=3) == pytest.approx(vfd(v, TIMES))
    assert vfd(np.concatenate([v, garbage * np.nan], axis=-1), TIMES, dims=3) == pytest.approx(vfd(v, TIMES))
    tail = np.full((*v.shape[:4], 2, 3), np.inf)
    assert vfd(np.concatenate([v, tail], axis=-2), TIMES, steps=4) == pytest.approx(vfd(v, TIMES))


@given(SEEDS)
def test_contributions_add_up(seed: int) -> None:
    v = fields(seed)
    parts = contributions(v, TIMES)
    assert parts.shape == (4, 3)
    assert (parts >= 0).all()
    assert parts.sum() == pytest.approx(vfd(v, TIMES))
    assert parts[:2].sum() == pytest.approx(vfd(v, TIMES, steps=2))
    assert parts[:, :1].sum() == pytest.approx(vfd(v, TIMES, dims=1))


@given(SEEDS)
def test_the_node_at_noise_weighs_nothing(seed: int) -> None:
    v = fields(seed)
    assert vfd(v[:, :, :, 1:], TIMES[1:]) == pytest.approx(vfd(v, TIMES))
    assert vfd(v, TIMES, weight="uniform") > vfd(v[:, :, :, 1:], TIMES[1:], weight="uniform")


def test_single_precision_is_enough_and_half_is_widened() -> None:
    v = fields(3)
    assert vfd(v.astype(np.float32), TIMES) == pytest.approx(vfd(v, TIMES), rel=1e-5)
    half = v.astype(np.float16)
    assert vfd(half, TIMES) == pytest.approx(vfd(half.astype(np.float64), TIMES), rel=1e-5)


def test_small_gap_on_a_large_field_survives() -> None:
    v = np.full((1, 2, 1, len(TIMES), 1, 1), 1000.0, np.float32)
    v[:, 1] += np.float32(2**-10)
    assert vfd(v, TIMES) == pytest.approx(weights(TIMES).sum() * 2**-20)


def test_agreement_on_two_modes_is_no_disagreement() -> None:
    def bimodal(x: Array, t: Array, /) -> Array:
        t = t.reshape(-1, 1, 1)
        variance = (1 - t) ** 2 + (0.1 * t) ** 2
        logits = [-((x - t * m) ** 2) / (2 * variance) for m in (-1.0, 1.0)]
        share = 1 / (1 + np.exp(np.clip(logits[0] - logits[1], -50, 50)))
        expected = sum(w * (m + t * 0.01 / variance * (x - t * m)) for w, m in ((1 - share, -1.0), (share, 1.0)))
        return np.asarray((expected - x) / (1 - t))

    rng = np.random.default_rng(0)
    trace = one_way([bimodal, bimodal], rng.normal(size=(64, 1, 1)), TIMES)
    other = one_way([bimodal, bimodal], rng.normal(size=(64, 1, 1)), TIMES)
    assert action_l2(np.concatenate([trace.final, other.final])) > 0.5
    assert vfd(trace.velocities, trace.times) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("shape", "times", "options", "where"),
    [
        ((1, 2, 1, 10, 4), TIMES, {}, "velocities"),
        ((1, 1, 1, 10, 4, 3), TIMES, {}, "velocities"),
        ((3, 2, 1, 10, 4, 3), TIMES, {}, "velocities"),
        ((1, 2, 0, 10, 4, 3), TIMES, {}, "velocities"),
        ((1, 2, 1, 9, 4, 3), TIMES, {}, "flow_times"),
        ((1, 2, 1, 10, 4, 3), TIMES, {"steps": 5}, "steps"),
        ((1, 2, 1, 10, 4, 3), TIMES, {"dims": 0}, "dims"),
    ],
)
def test_names_what_does_not_fit(shape: tuple[int, ...], times: Array, options: dict[str, int], where: str) -> None:
    with pytest.raises(InputError, match=f"^{where}: "):
        vfd(np.zeros(shape), times, **options)  # type: ignore[arg-type]
