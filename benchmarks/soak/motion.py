"""How fast the arm moves, when it came to rest, and whether the simulation kept pace. Pure.

The simulator reports its joints' true speeds, and stamps each sample with the wall clock at which it was simulated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
PERIOD = 0.01
"""Simulated seconds between two samples (the simulated arm's ``state_rate``, by default 100 Hz)."""
FAST = 0.1
"""rad/s, of the fastest joint: nothing is killed while the arm is slower."""
FRESH = 0.05
"""Seconds; an older sample does not say how fast the arm is now."""
_KEPT = 60 * 100


class Motion:
    """The last minute of samples.

    :param limit: speed of each joint at rest (n,) rad/s: the arm profile's rest noise over its rest window, so that
        the arm rests by the same measure by which supervisor and demo verify it, without the window's delay.
    """

    def __init__(self, limit: Vector) -> None:
        self._limit = limit
        self._samples: deque[tuple[float, Vector]] = deque(maxlen=_KEPT)
        self.count = 0
        """Samples ever taken."""

    def take(self, stamp: float, velocities: Sequence[float]) -> None:
        """A sample.

        :param stamp: s, wall clock.
        :param velocities: (n,) rad/s, more joints behind them are not looked at.
        """
        self._samples.append((stamp, np.asarray(velocities[: len(self._limit)], np.float64)))
        self.count += 1

    def speed(self, now: float) -> float:
        """Of the fastest joint (rad/s); 0 where that is not known of this moment."""
        if not self._samples or now - self._samples[-1][0] > FRESH:
            return 0.0
        return float(np.abs(self._samples[-1][1]).max())

    def rest_after(self, start: float) -> float | None:
        """Seconds from ``start`` to the arm's rest: from then on no joint was faster than its limit.

        A pause is no rest: the samples are looked at to the last. None where the arm moved to the end, or was not seen.
        """
        rest: float | None = None
        moved = True
        for stamp, velocities in self._samples:
            if stamp < start:
                continue
            if bool((np.abs(velocities) > self._limit).any()):
                moved = True
            elif moved:
                moved, rest = False, stamp - start
        return None if moved else rest

    def factor(self, start: float, end: float) -> float:
        """Simulated over real time between two moments (s, wall clock)."""
        return PERIOD * sum(start < stamp <= end for stamp, _ in self._samples) / (end - start)
