"""Adaptive conformal inference (ACI; Gibbs and Candes 2021, arXiv 2106.00170) with a growing calibration pool.

For episodes that are not exchangeable with those of the calibration, such as a new task or an arm that wears: alpha_t
moves after every success, up when it passed, down when it was a false alarm. Whatever the scores do, the rate of
false alarms over the successes so far tends to alpha. Failures move nothing: they are not what alpha counts.

Offline this is one more row of an evaluation. On a robot it is for an operator between two episodes, and in shadow mode
only: an episode that was halted has no outcome.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from vla_uq.calibration.bounds import ceil_rank
from vla_uq.errors import InputError

GAMMA = 0.05


@dataclass(frozen=True)
class Adaptive:
    """The whole state after some episodes; :meth:`update` gives the next one.

    :param alpha: false-alarm rate aimed at.
    :param level: alpha_t, what the next threshold is computed for; may leave [0, 1] by at most gamma.
    :param pool: nonconformities of all successes so far, ascending.
    :param gamma: how far one episode moves the level.
    :param successes: episodes that moved it.
    :param false_alarms: those of them above their threshold.
    """

    alpha: float
    level: float
    pool: tuple[float, ...]
    gamma: float = GAMMA
    successes: int = 0
    false_alarms: int = 0

    @classmethod
    def start(cls, alpha: float, pool: Iterable[float] = (), gamma: float = GAMMA) -> Adaptive:
        """Begin at alpha.

        :param pool: nonconformities (largest value of the episode) of the calibration successes; may be empty.
        :raises InputError: when alpha is outside (0, 1), gamma is not positive or the pool is not finite.
        """
        values = tuple(sorted(pool))
        for name, good, found in (
            ("alpha", 0 < alpha < 1, alpha),
            ("gamma", gamma > 0 and math.isfinite(gamma), gamma),
            ("pool", all(map(math.isfinite, values)), "a value that is not finite"),
        ):
            if not good:
                raise InputError("is out of range", where=name, found=found)
        return cls(alpha, alpha, values, gamma)

    @property
    def threshold(self) -> float:
        """What the next episode's nonconformity is compared with; it passes at or below.

        Infinite where the pool is too small for the level (no alarm then, or the rate could not be held), minus
        infinite at a level of 1 and above. The monitor's own gate lets nothing pass without a finite threshold.
        """
        if self.level >= 1:
            return -math.inf
        rank = ceil_rank(len(self.pool), self.level)
        return math.inf if self.level <= 0 or rank > len(self.pool) else self.pool[max(rank, 1) - 1]

    def update(self, peak: float, success: bool) -> Adaptive:
        """The state after an episode in which nothing was halted.

        :param peak: the episode's largest nonconformity.
        :raises InputError: when it is NaN: such an episode cannot join the pool.
        """
        if math.isnan(peak):
            raise InputError("is not a number", where="peak")
        if not success:
            return self
        alarm = peak > self.threshold
        at = bisect.bisect(self.pool, peak)
        return replace(
            self,
            level=self.level + self.gamma * (self.alpha - alarm),
            pool=(*self.pool[:at], peak, *self.pool[at:]),
            successes=self.successes + 1,
            false_alarms=self.false_alarms + alarm,
        )

    @property
    def long_run_error(self) -> float:
        """How far the rate of false alarms so far can be from alpha, for any scores (their proposition 4.1)."""
        if self.successes == 0:
            return 1.0
        return min(1.0, (max(self.alpha, 1 - self.alpha) + self.gamma) / (self.gamma * self.successes))
