"""When an arm came to rest, from its measured joints alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WINDOW = 0.2
"""Seconds over which every joint must stay within its noise."""
NOISE = 0.003
"""Largest span of a joint at rest (rad)."""


def rest_time(times: Sequence[float], joints: Sequence[NDArray[np.float64]]) -> float | None:
    """The first time from which on the arm never moved again, as far as it was watched.

    A pause is no rest: every window from the answer's on is quiet, to the end of the samples.

    :param times: (n,) s, ascending.
    :param joints: (n, joints) rad.
    :return: the end of the first quiet window after the last motion, so that the verification counts; None when the
        arm still moved at the end.
    """
    stamps, positions = np.asarray(times), np.asarray(joints)
    rest: float | None = None
    for end in range(len(stamps)):
        start = int(np.searchsorted(stamps, stamps[end] - WINDOW))
        if stamps[end] - stamps[0] < WINDOW:
            continue
        span = float(np.ptp(positions[start : end + 1], axis=0).max())
        if span > NOISE:
            rest = None
        elif rest is None:
            rest = float(stamps[end])
    return rest
