"""Intervals and metrics against values computed by hand or by the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_uq.evaluation.intervals import wilson
from vla_uq.evaluation.metrics import roc_auc, roc_auc_within


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (9, 10, 0.5958, 0.9821),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (249, 260, 0.9259, 0.9762),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson(k: int, n: int, low: float, high: float) -> None:
    assert wilson(k, n) == pytest.approx((low, high), abs=1e-4)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_auc_by_its_definition(rows: list[tuple[int, bool]]) -> None:
    scores, failed = zip(*rows, strict=True)
    pairs = [(s > t) + 0.5 * (s == t) for s, f in rows if f for t, g in rows if not g]
    expected = float(np.mean(pairs)) if pairs else math.nan
    assert roc_auc(scores, failed) == pytest.approx(expected, nan_ok=True)


def test_within_task_auc_ignores_what_only_the_task_says() -> None:
    groups = ["easy"] * 4 + ["hard"] * 4 + ["never fails"] * 2
    failed = [False, False, False, True, False, True, True, True, False, False]
    by_task = [0.0] * 4 + [1.0] * 4 + [0.0] * 2
    assert roc_auc(by_task, failed) > 0.7
    assert roc_auc_within(by_task, failed, groups) == (0.5, 2)
    assert roc_auc_within(np.asarray(failed) + 0.0, failed, groups) == (1.0, 2)
    assert math.isnan(roc_auc_within([1.0, 2.0], [True, False], ["a", "b"])[0])


def test_groups_weigh_by_their_pairs() -> None:
    failed = [True, False, True, False, False, False]
    scores = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    assert roc_auc_within(scores, failed, list("aabbbb"))[0] == pytest.approx(1 / 4)
