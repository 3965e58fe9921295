"""How the scores of an episode's steps become the score that is compared with a band.

Failures show late and single steps are noisy, so a step is judged together with those before it; over how many is a
choice that changes what a detector sees: a sum over the whole episode grows with its length, a window forgets.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError

RULES = ("none", "cumsum", "running_mean", "sliding_mean:W", "sliding_max:W", "ema:a")
"""What exists: W stands for a number of steps, a for a weight in (0, 1]."""
WINDOWS = {"sliding_mean", "sliding_max"}
LONGEST = 100_000


class Aggregator:
    """Running aggregate of one episode; its state is the last W scores or less.

    ``none`` is the step's own score, ``cumsum`` the sum so far (SAFE, eq. 2 of arXiv 2506.09937; grows with the
    episode's length), ``running_mean`` the sum divided by the number of steps. ``sliding_mean:W`` and
    ``sliding_max:W`` look at the last W steps, fewer at the episode's beginning. ``ema:a`` begins with the first score
    and then moves by the share a towards each next one.

    A NaN, a step that could not be scored, makes NaN of all aggregates that contain it: of the step itself with
    ``none``, of the next W - 1 too with a window, of all that follow until the reset with the others.

    :param rule: one of :data:`RULES`.
    :raises InputError: when the rule is unknown or its parameter is wrong.
    """

    def __init__(self, rule: str) -> None:
        self.rule = rule
        self._kind, self._window, self._weight = _parse(rule)
        self.reset()

    def reset(self) -> None:
        """Begin an episode."""
        self._total, self._count = 0.0, 0
        self._last: deque[float] = deque(maxlen=self._window)

    def push(self, score: float) -> float:
        """Take the next step's score and return the aggregate."""
        self._count += 1
        if self._kind == "none":
            return score
        if self._kind in WINDOWS:
            self._last.append(score)
            if any(map(math.isnan, self._last)):
                return math.nan
            return max(self._last) if self._kind == "sliding_max" else sum(self._last) / len(self._last)
        if self._kind == "ema":
            self._total += (self._weight if self._count > 1 else 1.0) * (score - self._total)
            return self._total
        self._total += score
        return self._total if self._kind == "cumsum" else self._total / self._count


def aggregate(rule: str, scores: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The aggregates of a whole episode's scores, (T,): what an :class:`Aggregator` returns for one after the other.

    :raises InputError: as :class:`Aggregator`.
    """
    running = Aggregator(rule)
    return np.array([running.push(score) for score in np.asarray(scores, np.float64).tolist()])


def _parse(rule: str) -> tuple[str, int | None, float]:
    """Kind, window and weight of a rule; what it does not have is None and 0."""
    kind, colon, parameter = rule.partition(":")
    if kind in WINDOWS and colon:
        window = int(parameter) if parameter.isascii() and parameter.isdigit() else 0
        if not 1 <= window <= LONGEST:
            raise _wrong(kind, f"a number of steps from 1 to {LONGEST}", parameter)
        return kind, window, 0.0
    if kind == "ema" and colon:
        try:
            weight = float(parameter)
        except ValueError:
            weight = math.nan
        if not 0 < weight <= 1:
            raise _wrong(kind, "a weight in (0, 1]", parameter)
        return kind, None, weight
    if colon or kind not in RULES:
        raise InputError("unknown aggregator", where="aggregator", expected=", ".join(RULES), found=rule)
    return kind, None, 0.0


def _wrong(kind: str, expected: str, found: str) -> InputError:
    return InputError("parameter is wrong", where=f"aggregator: {kind}", expected=expected, found=found or "nothing")
