"""How steps become the score of an episode."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_uq.detectors.aggregate import Aggregator, aggregate
from vla_uq.errors import InputError

Floats = NDArray[np.float64]
SCORES = st.lists(st.floats(-1e3, 1e3) | st.just(math.nan), min_size=1, max_size=40)


def ema(scores: Floats, weight: float) -> float:
    shares = np.append(weight * (1 - weight) ** np.arange(len(scores) - 1), (1 - weight) ** (len(scores) - 1))
    return float(shares @ scores[::-1])


DEFINITIONS: dict[str, Callable[[Floats], float]] = {
    "none": lambda past: past[-1],
    "cumsum": lambda past: past.sum(),
    "running_mean": lambda past: past.mean(),
    "sliding_mean:1": lambda past: past[-1],
    "sliding_mean:4": lambda past: past[-4:].mean(),
    "sliding_max:4": lambda past: past[-4:].max(),
    "ema:0.25": lambda past: ema(past, 0.25),
    "ema:1": lambda past: past[-1] if np.isfinite(past).all() else math.nan,
}


@pytest.mark.parametrize("rule", DEFINITIONS)
@given(scores=SCORES)
def test_streaming_equals_the_definition(rule: str, scores: list[float]) -> None:
    expected = [DEFINITIONS[rule](np.array(scores[: t + 1])) for t in range(len(scores))]
    running = Aggregator(rule)
    for _ in range(2):  # a reset forgets everything, NaN too
        np.testing.assert_allclose([running.push(score) for score in scores], expected, rtol=1e-9, atol=1e-9)
        running.reset()
    np.testing.assert_allclose(aggregate(rule, np.array(scores)), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("none", [1, 3, 2]),
        ("cumsum", [1, 4, 6]),
        ("running_mean", [1, 2, 2]),
        ("sliding_mean:2", [1, 2, 2.5]),
        ("sliding_max:2", [1, 3, 3]),
        ("ema:0.5", [1, 2, 2]),
    ],
)
def test_b18_values_of_every_rule(rule: str, expected: list[float]) -> None:
    assert aggregate(rule, np.array([1.0, 3.0, 2.0])).tolist() == expected


@pytest.mark.parametrize(
    ("rule", "unknown"),
    [
        ("none", [1]),
        ("sliding_mean:3", [1, 2, 3]),
        ("sliding_max:3", [1, 2, 3]),
        ("cumsum", [1, 2, 3, 4, 5]),
        ("running_mean", [1, 2, 3, 4, 5]),
        ("ema:0.5", [1, 2, 3, 4, 5]),
    ],
)
def test_an_unscored_step_makes_nan_of_all_that_contain_it(rule: str, unknown: list[int]) -> None:
    result = aggregate(rule, np.array([1.0, math.nan, 1.0, 1.0, 1.0, 1.0]))
    assert np.flatnonzero(np.isnan(result)).tolist() == unknown


@pytest.mark.parametrize("rule", ["median", "", "none:1", "cumsum:", "ema", "sliding_mean", "sliding_mean3"])
def test_an_unknown_rule_is_answered_with_those_that_exist(rule: str) -> None:
    with pytest.raises(InputError, match=r"^aggregator: unknown aggregator; expected none, .*ema:a; found"):
        Aggregator(rule)


@pytest.mark.parametrize(
    "rule",
    ["sliding_mean:0", "sliding_max:-1", "sliding_max:2.5", "sliding_mean:", "sliding_mean:³", "sliding_mean:9999999"]
    + ["ema:0", "ema:1.5", "ema:nan", "ema:x", "ema:"],
)
def test_a_wrong_parameter_is_named(rule: str) -> None:
    with pytest.raises(InputError, match=rf"^aggregator: {rule.partition(':')[0]}: parameter is wrong; expected a"):
        Aggregator(rule)
