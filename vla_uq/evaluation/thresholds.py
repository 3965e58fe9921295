"""The two thresholds that a detector alone can have, and the first alarms of test episodes under each.

Both come from the nominal successes of the calibration part, as a lab has them that has met no disturbance yet: one
constant for all steps (the order statistic of an episode's largest score), and a functional band. Both hold alpha for
new nominal successes of the same tasks over whole episodes; what they do elsewhere is what there is to see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vla_uq.calibration.functional import FunctionalBand
from vla_uq.calibration.threshold import false_alarm_threshold
from vla_uq.errors import InputError
from vla_uq.evaluation.alarms import first_alarm
from vla_uq.evaluation.results import Alarms

Threshold = Literal["constant", "functional"]
THRESHOLDS: tuple[Threshold, ...] = get_args(Threshold)
Curve = NDArray[np.float64]
Passes = Callable[[Curve], NDArray[np.bool_]]


def constant(successes: Sequence[Curve], alpha: float) -> Passes:
    """Whether each step of a curve is finite and not above the constant that successes stay below.

    :raises InputError: when there are too few, naming the smallest alpha that they allow, or a score is not finite.
    """
    level = false_alarm_threshold([float(curve.max()) for curve in successes], alpha)
    return lambda curve: np.isfinite(curve) & (curve <= level)


def first_alarms(
    nominal: Sequence[Curve], alpha: float, seed: int, parts: Mapping[str, Sequence[Curve]]
) -> list[Alarms]:
    """Calibrate each threshold and find the test episodes' first alarms.

    :param nominal: curves of nominal successes.
    :param seed: of the functional band's split.
    :param parts: curves of the episodes of each test part.
    """
    found = []
    for threshold in THRESHOLDS:
        try:
            if threshold == "constant":
                passes = constant(nominal, alpha)
            else:
                passes = FunctionalBand.fit(nominal, alpha, seed).passes
        except InputError as error:
            found.append(Alarms(threshold, alpha, refused=str(error)))
            continue
        first = {part: tuple(map(_index, map(passes, curves))) for part, curves in parts.items()}
        found.append(Alarms(threshold, alpha, len(nominal), first))
    return found


def _index(passes: NDArray[np.bool_]) -> int:
    first = first_alarm(passes)
    return -1 if first is None else first
