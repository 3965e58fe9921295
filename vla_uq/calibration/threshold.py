"""Split conformal on one number an episode: the largest score so far, at the end or at any cut-off (SAFE's "split CP").

It is the whole calibration where a detector is evaluated by itself; the monitor has it as the method ``max_so_far``.
An episode passes at or below the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from vla_uq.calibration.bounds import order_rank
from vla_uq.errors import InputError


def false_alarm_threshold(successes: Sequence[float], alpha: float) -> float:
    """Threshold that a new success exceeds with probability at most alpha.

    :param successes: largest score of each calibration success.
    :raises InputError: when there are too few, naming the smallest alpha that they allow, or one is not finite.
    """
    return _finite(successes)[order_rank(len(successes), alpha) - 1]


def miss_threshold(failures: Sequence[float], alpha: float) -> float:
    """Threshold that a new failure fails to exceed with probability at most alpha.

    :param failures: largest score of each calibration failure.
    :raises InputError: as :func:`false_alarm_threshold`.
    """
    rank = len(failures) + 1 - order_rank(len(failures), alpha)
    # One step of the float below: an episode at the order statistic itself must be an alarm.
    return math.nextafter(_finite(failures)[rank - 1], -math.inf)


def _finite(peaks: Sequence[float]) -> list[float]:
    if not all(map(math.isfinite, peaks)):
        raise InputError("a score is not finite", where="calibration part")
    return sorted(map(float, peaks))
