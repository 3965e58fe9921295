"""Numbers from what was seen of the joints: noise, rest, stops. Pure functions of samples (time s, joints rad)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from supervisor_node.commissioning.course import Sweep

Vector = NDArray[np.float64]
Sample = tuple[float, Vector]
_ROUNDING = 1e-6
REACHED = 0.5
"""Share of its speed that a sweep must have reached for its stop to count."""
SHORTEST = 1e-4
"""Distance (rad) below which a stop is not resolved."""


def spans(samples: Sequence[Sample], window: float) -> list[tuple[float, Vector]]:
    """Largest minus smallest position over each whole window: its beginning, and (n,) rad."""
    times = np.array([t for t, _ in samples])
    found: list[tuple[float, Vector]] = []
    if not len(times):
        return found
    q = np.stack([each for _, each in samples])
    for first, begin in enumerate(times):
        last = int(np.searchsorted(times, begin + window - _ROUNDING))
        if last >= len(times):
            break
        part = q[first : last + 1]
        found.append((float(begin), part.max(axis=0) - part.min(axis=0)))
    return found


def rest_after(samples: Sequence[Sample], since: float, window: float, noise: Vector) -> float:
    """Seconds from ``since`` to the beginning of the first window in which every joint rests; NaN: it never did."""
    later = [each for each in samples if each[0] >= since - _ROUNDING]
    for begin, span in spans(later, window):
        if bool((span < noise).all()):
            return max(begin - since, 0.0)
    return math.nan


@dataclass(frozen=True, eq=False)
class Stop:
    """One stop, or one silence, of a sweep.

    :param speed: of the swept joint as it began (rad/s); NaN for a line.
    :param distance: farthest that the joint went on, in its direction (rad); NaN for a line.
    :param over: how far of that lay beyond the hold (rad); NaN after a silence.
    :param rest: seconds until it rested; NaN: it did not.
    :param lag: the last target ahead of the joint, as seconds at the sweep's speed; NaN for a line.
    """

    sweep: Sweep
    speed: float
    distance: float
    over: float
    rest: float
    lag: float

    def deceleration(self, asked: float, noise: float) -> float:
        """Deceleration (rad/s²) that this stop shows: the one the profile asked for where the arm kept to its hold,
        for that lies as far ahead as the last target and the profile say; v²/2d where it went beyond, by more than
        ``noise`` (rad). With that, the supervisor foresees this stop's distance, its delay included.
        """
        return asked if self.over <= noise else self.speed**2 / (2 * max(self.distance, SHORTEST))


def distance(sweep: Sweep, samples: Sequence[Sample], start: Vector) -> float:
    """Farthest (rad) that the swept joint went on from ``start`` (n,)."""
    gone = [sweep.way * float(q[sweep.axis] - start[sweep.axis]) for _, q in samples]
    return max([0.0, *gone])


@dataclass
class Evidence:
    """Everything that was measured.

    :param noise: spans (n,) rad over the rest window, of the held arm, one a window.
    :param droop: distances (n,) rad from the hold at rest.
    :param stops: and silences.
    :param grips: growth of the opening (0…1) while a closed gripper was held.
    :param leads: joint targets move the joints; None: not tried yet. An arm that is led by poses may hold its posture
        with them alone.
    :param skipped: sweeps that came near the edge of the workspace.
    """

    noise: list[Vector] = field(default_factory=list)
    droop: list[Vector] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    grips: list[float] = field(default_factory=list)
    leads: bool | None = None
    skipped: list[Sweep] = field(default_factory=list)

    def fastest(self, axis: int) -> list[Stop]:
        """Stops of a joint from the fastest speed."""
        return [s for s in self.stops if s.sweep.axis == axis and s.sweep.fastest]
