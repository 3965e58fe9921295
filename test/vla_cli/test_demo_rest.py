"""Rest is what lasts: a pause between two motions is none."""

from __future__ import annotations

import numpy as np
import pytest

from vla_cli.demo.rest import WINDOW, rest_time

TIMES = np.arange(0, 3, 0.01)


def path(*moving: tuple[float, float]) -> list[np.ndarray]:
    """One joint of seven that moves at 1 rad/s in the given intervals."""
    speed = sum(((start <= TIMES) & (end > TIMES)).astype(float) for start, end in moving)
    q = np.zeros((len(TIMES), 7))
    q[:, 3] = np.cumsum(speed) * 0.01
    return list(q)


def test_rest_is_verified_one_window_after_the_last_motion() -> None:
    assert rest_time(list(TIMES), path((0, 0.5))) == pytest.approx(0.5 + WINDOW, abs=0.02)


def test_a_pause_is_no_rest() -> None:
    assert rest_time(list(TIMES), path((0, 0.5), (1.5, 1.8))) == pytest.approx(1.8 + WINDOW, abs=0.02)


def test_an_arm_that_still_moves_has_no_rest() -> None:
    assert rest_time(list(TIMES), path((0, 3))) is None


def test_too_short_a_look_tells_nothing() -> None:
    assert rest_time(list(TIMES[:10]), path()[:10]) is None
