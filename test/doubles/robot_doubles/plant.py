"""The joints behind every double: they follow a setpoint, and can be told to misbehave. Pure; the clock is injected."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
STEP = 0.002
"""Longest step of the integration, s."""


class Plant:
    """n joints under position control.

    A joint closes the distance to its setpoint with time constant ``lag`` and at most ``top_speed``. At rest it stands
    ``droop`` beside the setpoint, where gravity takes it: an arm that is told again and again to hold where it is now
    walks that way.

    :param names: of the joints.
    :param start: (n,) rad.
    :param lower: (n,) rad, mechanical stops.
    :param upper: (n,) rad.
    :param clock: s, monotonic.
    :param fall: (n,) rad/s², how a joint without torque accelerates; 0 where gravity is compensated or does not act.
    :param droop: (n,) rad.
    :param noise: of the measurement, rad.
    """

    def __init__(
        self,
        names: Sequence[str],
        start: Sequence[float],
        lower: Sequence[float],
        upper: Sequence[float],
        clock: Callable[[], float],
        *,
        fall: Sequence[float] | None = None,
        droop: Sequence[float] | None = None,
        top_speed: float = 2.5,
        lag: float = 0.02,
        noise: float = 0.0,
    ) -> None:
        n = len(names)
        self.names = tuple(names)
        self.lower, self.upper = np.asarray(lower, float), np.asarray(upper, float)
        self.clock = clock
        self.fall = np.zeros(n) if fall is None else np.asarray(fall, float)
        self.droop = np.zeros(n) if droop is None else np.asarray(droop, float)
        self.top_speed, self.lag, self.noise = top_speed, lag, noise
        self.q = np.asarray(start, float).copy()
        self.qd = np.zeros(n)
        self.setpoint = self.q - self.droop
        self.torque = np.ones(n, bool)
        """Joints without torque fall (see ``fall``)."""
        self.sagging = 0.0
        """Speed (rad/s) at which joints that carry weight sink, whatever they are told."""
        self.disasters: list[str] = []
        """What must never happen to an arm, in order of appearance."""
        self.on_disaster: list[Callable[[str], None]] = []
        """Called with each disaster: a driver may react to it."""
        self._away: Vector | None = None
        self._sunk = np.zeros(n)
        self._at = clock()
        self._rng = np.random.default_rng(0)

    # -- commands ----------------------------------------------------------------------------------------------------
    def follow(self, setpoint: Sequence[float] | Vector) -> None:
        """Take a setpoint (n,) rad. One that is not finite is a disaster and changes nothing else."""
        target = np.asarray(setpoint, float)
        if not np.isfinite(target).all():
            return self.disaster("a command that is not finite reached the joints")
        if ((target < self.lower - 1e-6) | (target > self.upper + 1e-6)).any():
            self.disaster("a command outside of the joint limits reached the joints")
        self.setpoint = target.copy()

    def power(self, on: bool, joints: Sequence[int] | None = None) -> None:
        """Switch torque. Joints that get it back hold where they are."""
        which = np.arange(len(self.names)) if joints is None else np.asarray(joints, int)
        if not on and self.torque[which].any():
            self.disaster("torque off")
        if on:
            back = which[~self.torque[which]]
            self._sunk[back] = 0
            self.setpoint[back] = (self.q - self.droop)[back]
        self.torque[which] = on

    def drop(self, seconds: float) -> None:
        """Switch the torque of all joints off and, when they have fallen for so long, on again."""
        self.power(False)
        for _ in range(round(seconds / STEP)):
            self._step(STEP)
        self.power(True)

    def stand(self) -> None:
        """Take the setpoint at which the joints stay where they are."""
        self.setpoint = self.q - self.droop - self._sunk

    def disaster(self, what: str) -> None:
        """Note a disaster; the same one in a row is noted once."""
        if not self.disasters or self.disasters[-1] != what:
            self.disasters.append(what)
        for callback in self.on_disaster:
            callback(what)

    # -- misbehaviour ------------------------------------------------------------------------------------------------
    def run_away(self, at_least: float = 0.2) -> None:
        """Ignore every command from now on and go on as the arm moves now, the fastest joint at ``at_least`` rad/s."""
        fastest = int(np.abs(self.qd).argmax())
        away = self.qd.copy()
        if abs(away[fastest]) < at_least:
            away[fastest] = at_least if self.qd[fastest] >= 0 else -at_least
        self._away = away

    def obey(self) -> None:
        """End :meth:`run_away`: the arm holds where it is until the next command."""
        self._away = None
        self.stand()

    # -- motion ------------------------------------------------------------------------------------------------------
    def advance(self) -> None:
        """Integrate up to the clock."""
        now = self.clock()
        left, self._at = now - self._at, now
        while left > 1e-12:
            self._step(min(left, STEP))
            left -= STEP

    def _step(self, dt: float) -> None:
        before = self.q.copy()
        self._sunk += self.sagging * dt * np.sign(np.where(self.fall, self.fall, self.droop))
        if self._away is not None:
            driven = self._away * dt
        else:
            gap = self.setpoint + self.droop + self._sunk - self.q
            reach = self.top_speed * dt
            driven = np.clip(gap * (1 - np.exp(-dt / self.lag)), -reach, reach)
        fallen = (self.qd + self.fall * dt) * dt
        self.q = np.clip(self.q + np.where(self.torque, driven, fallen), self.lower, self.upper)
        self.qd = (self.q - before) / dt

    def measured(self) -> Vector:
        """Joints (n,) rad as the encoders see them."""
        return self.q + self._rng.normal(0, self.noise, len(self.q)) if self.noise else self.q.copy()

    @property
    def at_rest(self) -> bool:
        """Whether no joint moves faster than 5 mrad/s."""
        return bool((np.abs(self.qd) < 0.005).all())
