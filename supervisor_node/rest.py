"""Where the joints are, how fast they move, and whether they rest: from positions alone.

Velocities that drivers report do not serve: one unit of a Dynamixel is 0.024 rad/s, and some simulators fill none.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
_KEPT = 1.0
_VELOCITY_SPAN = 0.04
_ROUNDING = 1e-6


class JointHistory:
    """The joints' positions (rad) of the last second, by receipt on the supervisor's clock."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Vector]] = deque()

    def add(self, now: float, q: Vector) -> None:
        """Take a sample; times never decrease."""
        self._samples.append((now, q))
        while self._samples[0][0] < now - _KEPT:
            self._samples.popleft()

    def clear(self) -> None:
        """Forget everything, after the clock jumped."""
        self._samples.clear()

    def span(self, now: float, window: float, since: float = -np.inf) -> Vector | None:
        """Largest minus smallest position of each joint over the last ``window`` seconds.

        :param since: only what was received from then on counts.
        :return: (n,) rad, or None while the samples do not cover the window.
        """
        inside: list[Vector] = []
        covered = False
        for time, q in reversed(self._samples):
            if time < since - _ROUNDING:
                break
            inside.append(q)
            if time <= now - window + _ROUNDING:
                covered = True
                break
        if not covered or len(inside) < 3:
            return None
        stacked = np.stack(inside)
        return np.asarray(stacked.max(axis=0) - stacked.min(axis=0))

    def velocity(self, last: Vector) -> Vector:
        """Mean velocity over the last 40 ms or a little more (n,) rad/s; zero while unknown.

        :param last: the newest position.
        """
        end = self._samples[-1][0] if self._samples else 0.0
        for time, q in reversed(self._samples):
            if end - time >= _VELOCITY_SPAN - _ROUNDING:
                return np.asarray((last - q) / (end - time))
        return np.zeros_like(last)
