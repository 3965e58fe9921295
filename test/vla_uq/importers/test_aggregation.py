"""Every aggregation of the paper's features, exactly, and in float32."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_uq.errors import InputError
from vla_uq.rollouts.aggregation import aggregate

VALUES = np.arange(30, dtype=np.float32).reshape(2, 5, 3)


def rows(*numbers: int) -> np.ndarray:
    return VALUES[:, list(numbers)].reshape(2, -1)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (0.0, rows(0)),
        (1.0, rows(4)),
        (0.5, rows(2)),
        (0.4, rows(2)),
        (0.125, rows(0)),  # 0.5: a half goes to the even element
        (0.375, rows(2)),  # 1.5: likewise
        ("mean", VALUES.mean(axis=1)),
        ("concat", rows(0, 1, 2, 3, 4)),
        ("concat-2", rows(0, 4)),
        ("concat-3", rows(0, 2, 4)),
        ("concat-4", rows(0, 1, 3, 4)),
        ("concat-7", rows(0, 1, 1, 2, 3, 3, 4)),
        ("concat-1:3", rows(1, 2)),
        ("concat-:2", rows(0, 1)),
        ("concat-::2", rows(0, 2, 4)),
        ("concat--2:", rows(3, 4)),
    ],
)
def test_operations(operation: Any, expected: np.ndarray) -> None:
    got = aggregate(VALUES, operation)
    np.testing.assert_array_equal(got, expected)
    assert got.dtype == np.float32


def test_an_integer_is_an_error() -> None:
    for number in (0, 1, True, np.int64(1)):
        with pytest.raises(InputError, match="no such aggregation"):
            aggregate(VALUES, number)
    with pytest.raises(InputError, match=r"write 0.0 for the first and 1.0 for the last"):
        aggregate(VALUES, 1)


@pytest.mark.parametrize(
    "operation", ["last", "concat-1", "concat-0", "concat-", "concat-a:b", "concat-::0", "concat-1:2:3:4", None, ""]
)
def test_unknown_operations(operation: Any) -> None:
    with pytest.raises(InputError, match="no such aggregation"):
        aggregate(VALUES, operation)


def test_what_cannot_be_selected() -> None:
    for part in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="outside the axis"):
            aggregate(VALUES, part)
    with pytest.raises(InputError, match="selects nothing"):
        aggregate(VALUES, "concat-5:")
    for shape in ((3,), (2, 0, 3)):
        with pytest.raises(InputError, match="no axis to aggregate"):
            aggregate(np.zeros(shape, np.float32), "mean")


def test_b4_the_mean_of_bfloat16_is_taken_in_float32() -> None:
    values = (3 + np.random.default_rng(0).normal(size=(60, 2048))).astype(ml_dtypes.bfloat16)
    exact = values.astype(np.float64).mean(axis=0)
    ours = np.sqrt(np.mean((aggregate(values, "mean") - exact) ** 2))
    theirs = np.sqrt(np.mean((values.mean(axis=0).astype(np.float64) - exact) ** 2))
    assert ours < 1e-6
    assert theirs > 0.1 * exact.std()


@given(st.integers(1, 9), st.integers(1, 4), st.floats(0, 1))
def test_one_element_equals_concat_of_that_element(n: int, dim: int, part: float) -> None:
    values = np.random.default_rng(n).normal(size=(n, dim)).astype(np.float32)
    at = round((n - 1) * part)
    np.testing.assert_array_equal(aggregate(values, part), aggregate(values, f"concat-{at}:{at + 1}"))
    np.testing.assert_array_equal(
        aggregate(values, "concat-2"), np.concatenate([aggregate(values, 0.0), aggregate(values, 1.0)])
    )
