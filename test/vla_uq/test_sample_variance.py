"""Variance of the sampled chunks, by columns of an action."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_uq.errors import InputError
from vla_uq.uncertainty.variance import chunk_variance

SEEDS = st.integers(0, 2**32 - 1)
PARTS = ("translation", "rotation", "gripper")


def chunks(seed: int, draws: int = 10, horizon: int = 5, dim: int = 7) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(draws, horizon, dim))


def test_values() -> None:
    samples = np.zeros((2, 2, 7))
    samples[1, 0, 0] = 2  # translation of the first action
    samples[1, 1, 4] = 4  # rotation of the second
    samples[1, 1, 6] = 6  # gripper of the second
    found = {part: float(chunk_variance(samples, part)) for part in ("all", *PARTS)}
    assert found == {"all": 28, "translation": 2, "rotation": 8, "gripper": 18}


@given(SEEDS, st.integers(2, 12), st.integers(1, 6))
def test_total_is_the_trace_of_the_covariance_and_the_sum_of_the_parts(seed: int, draws: int, horizon: int) -> None:
    samples = chunks(seed, draws, horizon)
    trace = np.trace(np.atleast_2d(np.cov(samples.reshape(draws, -1), rowvar=False)))
    assert chunk_variance(samples) == pytest.approx(trace)
    assert sum(chunk_variance(samples, part) for part in PARTS) == pytest.approx(trace)


def test_b3_parts_of_a_chunk_are_columns_of_actions_not_of_the_flattened_chunk() -> None:
    samples = chunks(0, horizon=50)
    flat = samples.reshape(len(samples), -1).var(axis=0, ddof=1)
    # What the published code reports: the translation of the first action alone, and nearly everything as gripper.
    wrong_translation, wrong_gripper = flat[0:3].sum(), flat[6:].sum()
    assert wrong_gripper / flat.sum() > 0.95
    assert wrong_translation / flat.sum() < 0.03
    total = chunk_variance(samples)
    assert total == pytest.approx(flat.sum())
    for part, columns in (("translation", 3), ("rotation", 3), ("gripper", 1)):
        assert chunk_variance(samples, part) / total == pytest.approx(columns / 7, rel=0.15)
    # With one action a chunk, as OpenVLA has, both agree.
    single = chunks(0, horizon=1)
    flat = single.reshape(len(single), -1).var(axis=0, ddof=1)
    assert [chunk_variance(single, part) for part in PARTS] == pytest.approx(
        [flat[0:3].sum(), flat[3:6].sum(), flat[6:].sum()]
    )


@given(SEEDS)
def test_neither_order_nor_offset_of_the_draws_matters(seed: int) -> None:
    samples = chunks(seed)
    shuffled = np.random.default_rng(seed).permutation(samples) + np.arange(7)
    assert chunk_variance(shuffled) == pytest.approx(chunk_variance(samples))


def test_the_number_of_draws_changes_the_precision_not_the_scale() -> None:
    few = np.mean([chunk_variance(chunks(seed, draws=2)) for seed in range(400)])
    assert few == pytest.approx(chunk_variance(chunks(0, draws=4000)), rel=0.05)


def test_one_draw_has_no_variance() -> None:
    with pytest.raises(InputError, match=r"^samples: too few draws .* found 1; record more draws: .*--draws 10"):
        chunk_variance(chunks(0, draws=1))


@pytest.mark.parametrize(("part", "dim", "least"), [("rotation", 2, 6), ("gripper", 6, 7), ("pose", 5, 6)])
def test_columns_that_actions_do_not_have(part: str, dim: int, least: int) -> None:
    with pytest.raises(InputError, match=f"^samples: actions have no {part}; expected {least} columns or more"):
        chunk_variance(chunks(0, dim=dim), part)


def test_planar_actions_translate_in_two_columns() -> None:
    samples = chunks(0, dim=2)
    assert chunk_variance(samples, "translation") == chunk_variance(samples)


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(InputError, match=r"^columns: unknown part of an action; expected all, .*; found elbow"):
        chunk_variance(chunks(0), "elbow")
