"""The time profile of a Dynamixel's position mode: how a goal becomes a moving setpoint. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
_SHORTEST = 1e-3


class TimeProfile:
    """Setpoints of ``n`` servos. A new goal is approached from the setpoint and speed of the moment, in ``length``
    seconds: a ramp of ``ramp`` seconds, a steady speed, a ramp to rest. What is too far for ``speed`` takes longer.

    :param start: (n,) rad, at rest.
    :param speed: limit (rad/s).
    """

    def __init__(self, start: Vector, speed: float) -> None:
        self._speed = speed
        self.length, self.ramp = np.full(len(start), 2.0), np.full(len(start), 0.3)
        """Seconds (n,); the vendor's defaults. A ramp is at most half of the move."""
        self.stand(start)

    def stand(self, at: Vector) -> None:
        """Be at rest at (n,) rad: what a servo does whose torque was switched on."""
        self.position, self.velocity = np.array(at, float), np.zeros(len(at))
        self.goal = self.position.copy()
        self._from, self._before, self._cruise = self.position, self.velocity, self.velocity
        self._ramp, self._steady, self._time = np.full(len(at), _SHORTEST), np.zeros(len(at)), 0.0

    def aim(self, goal: Vector) -> None:
        """Take a goal (n,) rad, at once and whatever it was before."""
        length = np.maximum(self.length, _SHORTEST)
        ramp = np.clip(self.ramp, _SHORTEST / 2, length / 2)
        way, before = goal - self.position, self.velocity
        cruise = np.clip((way - before * ramp / 2) / (length - ramp), -self._speed, self._speed)
        ramps = (before + 2 * cruise) * ramp / 2
        moving = np.abs(cruise) > 1e-9
        self._steady = np.where(moving, (way - ramps) / np.where(moving, cruise, 1.0), 0.0)
        self.goal, self._time, self._ramp, self._cruise = np.array(goal, float), 0.0, ramp, cruise
        self._from, self._before = self.position.copy(), before.copy()

    def advance(self, seconds: float) -> None:
        """Move the setpoint on."""
        self._time += seconds
        ramp, steady = self._ramp, self._steady
        first = np.minimum(self._time, ramp)
        second = np.clip(self._time - ramp, 0, steady)
        third = np.clip(self._time - ramp - steady, 0, ramp)
        gain, loss = (self._cruise - self._before) / ramp, self._cruise / ramp
        self.velocity = self._before + gain * first - loss * third
        way = self._before * first + gain * first**2 / 2 + self._cruise * (second + third) - loss * third**2 / 2
        done = self._time >= 2 * ramp + steady
        self.position = np.where(done, self.goal, self._from + way)
        self.velocity = np.where(done, 0.0, self.velocity)
