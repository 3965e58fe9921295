"""Adaptive conformal inference: how alpha_t moves, what its threshold is, and that the long run is held."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_uq.calibration.adaptive import Adaptive
from vla_uq.calibration.threshold import false_alarm_threshold
from vla_uq.errors import InputError

peaks = st.lists(st.floats(-10, 10), min_size=1, max_size=60)


def test_golden_dynamics() -> None:
    """alpha_{t+1} = alpha_t + gamma (alpha - alarm), and the pool grows by every success."""
    state = Adaptive.start(0.2, [4.0, 1.0, 3.0, 2.0])
    assert state.threshold == 4.0  # rank ceil(5 * .8) of 4
    state = state.update(3.5, success=True)
    assert (state.level, state.pool) == (pytest.approx(0.21), (1.0, 2.0, 3.0, 3.5, 4.0))
    assert state.threshold == 4.0  # rank ceil(6 * .79) of 5
    state = state.update(5.0, success=True)
    assert state.level == pytest.approx(0.17)
    assert state.threshold == 5.0  # rank ceil(7 * .83) of 6
    assert (state.successes, state.false_alarms) == (2, 1)


def test_starts_as_split_conformal() -> None:
    pool = np.random.default_rng(0).normal(size=30).tolist()
    assert Adaptive.start(0.1, pool).threshold == false_alarm_threshold(pool, 0.1)


def test_failures_move_nothing() -> None:
    state = Adaptive.start(0.1, range(20))
    assert state.update(1e9, success=False) is state


def test_thresholds_without_an_end() -> None:
    assert Adaptive.start(0.1).threshold == math.inf
    assert Adaptive.start(0.1, range(8)).threshold == math.inf
    assert Adaptive.start(0.1, range(9)).threshold == 8
    assert Adaptive(0.1, -0.01, tuple(range(99))).threshold == math.inf
    assert Adaptive(0.1, 1.01, tuple(range(99))).threshold == -math.inf
    assert Adaptive(0.1, 0.999, tuple(range(99))).threshold == 0


@given(peaks, peaks, st.floats(0.02, 0.9), st.floats(0.005, 0.5))
def test_the_long_run_is_held_whatever_comes(
    pool: list[float], stream: list[float], alpha: float, gamma: float
) -> None:
    state = Adaptive.start(alpha, pool, gamma)
    for t, peak in enumerate(stream):
        before, state = state, state.update(peak, success=True)
        assert -gamma - 1e-9 <= state.level <= 1 + gamma + 1e-9
        assert state.level == pytest.approx(before.level + gamma * (alpha - (peak > before.threshold)))
        assert len(state.pool) == len(pool) + t + 1
        assert list(state.pool) == sorted(state.pool)
        assert abs(state.false_alarms / state.successes - alpha) <= state.long_run_error + 1e-9


def test_b10_follows_a_shift_that_a_fixed_threshold_misses() -> None:
    """Successes of a new task have three times the peaks of the calibration's (as measured on unseen tasks)."""
    rng = np.random.default_rng(1)
    fixed, moved, late = [], [], []
    for _ in range(30):
        pool = rng.lognormal(size=50).tolist()
        state, threshold = Adaptive.start(0.2, pool), false_alarm_threshold(pool, 0.2)
        for t, peak in enumerate(3 * rng.lognormal(size=200)):
            fixed.append(peak > threshold)
            moved.append(peak > state.threshold)
            if t >= 100:
                late.append(moved[-1])
            state = state.update(float(peak), success=True)
    assert np.mean(fixed) > 0.5
    assert np.mean(moved) < 0.27
    assert np.mean(late) == pytest.approx(0.2, abs=0.03)


def test_refuses_what_cannot_be_right() -> None:
    with pytest.raises(InputError, match="alpha: is out of range"):
        Adaptive.start(1.0)
    with pytest.raises(InputError, match="gamma: is out of range"):
        Adaptive.start(0.1, gamma=0.0)
    with pytest.raises(InputError, match="pool: is out of range"):
        Adaptive.start(0.1, [1.0, math.nan])
    with pytest.raises(InputError, match="peak: is not a number"):
        Adaptive.start(0.1).update(math.nan, success=True)
