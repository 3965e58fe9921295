"""When the simulation may go on: with a steady clock in real time, or with the commands in lockstep. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Stamp = tuple[int, int]
MAX_BACKLOG = 0.05
"""Simulated time (s) that may be caught up with; what is older is dropped."""
EPISODE_SPAN = 1000
"""Lockstep: stamps of episode n begin at n times so many seconds, whatever came before."""


class Pace:
    """Real time: how many periods of the simulation are due.

    :param clock: steady time (s).
    """

    def __init__(self, period: float, clock: Callable[[], float]) -> None:
        self._period, self._clock = period, clock
        self.dropped = 0.0
        """Time (s) that the simulation fell behind and did not catch up with."""
        self.worst = 0.0
        """Longest delay (s) of a period since :meth:`restart` or the last reading by ``take_worst``."""
        self.restart()

    def restart(self) -> None:
        """Count from now on: what passed until now was not simulation time."""
        self._next = self._clock() + self._period

    def due(self) -> bool:
        """Whether a period is to be simulated now; drops a backlog that is too long."""
        late = self._clock() - self._next
        if late < 0:
            return False
        self.worst = max(self.worst, late)
        if late > MAX_BACKLOG:
            self.dropped += late
            self._next += late
        self._next += self._period
        return True

    def wait(self) -> float:
        """Time (s) until the next period is due; 0 when one is."""
        return max(0.0, self._next - self._clock())

    def take_worst(self) -> float:
        worst, self.worst = self.worst, 0.0
        return worst


@dataclass
class _Answer:
    target: bool = False
    gripper: bool = False


class Lockstep:
    """Which observation stands, and whether its one target and one gripper command have come.

    Stamps are simulated time: monotone over episodes, and a function of episode and step alone, so that a run can be
    repeated byte for byte. Before the first episode they simply count on.

    :param step: duration of a control step in nanoseconds.
    """

    def __init__(self, step: int) -> None:
        self._step = step
        self._now = 0
        self.episode = 0
        self._answer = _Answer()
        self.unasked = 0
        """Commands for no standing observation: a wrong stamp, or a second one."""

    @property
    def stamp(self) -> Stamp:
        """Stamp of the standing observation."""
        return divmod(self._now, 10**9)

    def begin(self) -> None:
        """A new episode, whose first observation now stands."""
        self.episode += 1
        self._now = max(self.episode * EPISODE_SPAN, self._now // 10**9 + 1) * 10**9
        self._answer = _Answer()

    def tick(self, nanoseconds: int) -> None:
        """Simulated time passes before the first episode."""
        self._now += nanoseconds

    def wants_target(self, stamp: Stamp) -> bool:
        """Whether a target with this stamp is the one that is waited for; counts it otherwise."""
        wanted = stamp == self.stamp and not self._answer.target
        self.unasked += not wanted
        return wanted

    def wants_gripper(self) -> bool:
        """Whether a gripper command is waited for (they bear no stamp); counts it otherwise."""
        self.unasked += self._answer.gripper
        return not self._answer.gripper

    def took_target(self) -> None:
        self._answer.target = True

    def took_gripper(self) -> None:
        self._answer.gripper = True

    def step(self) -> bool:
        """Go on to the next observation if this one is answered; says whether."""
        if not (self._answer.target and self._answer.gripper):
            return False
        self._now += self._step
        self._answer = _Answer()
        return True
