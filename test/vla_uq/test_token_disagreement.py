"""Disagreement about tokens: golden values, bounds, and what must not matter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_uq.errors import InputError
from vla_uq.uncertainty.token_disagreement import mutual_information

seeds = st.integers(0, 2**32 - 1)


def random(seed: int, members: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 4, (members, 5, 9))


def test_golden_values() -> None:
    certain = np.array([[[0.0, -np.inf]], [[-np.inf, 0.0]]])
    assert mutual_information(certain) == pytest.approx([math.log(2)])
    # p = (0.9, 0.1) and (0.5, 0.5): H(0.7, 0.3) less the mean of both entropies.
    two = np.log([[[0.9, 0.1]], [[0.5, 0.5]]])
    expected = 0.610864302 - (0.325082973 + 0.693147181) / 2
    assert mutual_information(two) == pytest.approx([expected], abs=1e-7)


@given(seeds, st.integers(2, 5))
def test_within_its_bounds_and_as_defined(seed: int, members: int) -> None:
    logits = random(seed, members)
    found = mutual_information(logits)
    p = np.exp(logits - np.logaddexp.reduce(logits, axis=2, keepdims=True))

    def entropy(q: np.ndarray) -> np.ndarray:
        return -(q * np.log(q)).sum(axis=-1)

    np.testing.assert_allclose(found, entropy(p.mean(axis=0)) - entropy(p).mean(axis=0), atol=1e-6)
    assert found.dtype == np.float32 and (found >= 0).all() and (found <= math.log(members) + 1e-6).all()


@given(seeds)
def test_members_that_agree_have_none_however_undecided(seed: int) -> None:
    np.testing.assert_array_equal(mutual_information(np.repeat(random(seed, 1), 4, axis=0)) < 1e-12, True)


@given(seeds)
def test_order_of_members_and_offsets_of_logits_do_not_matter(seed: int) -> None:
    logits = random(seed)
    expected = mutual_information(logits)
    np.testing.assert_allclose(mutual_information(logits[::-1] + 7), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 3, 4), (3, 4), (2, 3, 0)])
def test_one_member_has_nothing_to_disagree_with(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="logits"):
        mutual_information(np.zeros(shape))
