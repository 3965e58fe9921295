"""How close a score is to its threshold, and the colours that say so: three that the colour-blind tell apart.

Blue, orange and vermillion of Okabe and Ito's palette; wherever they are used, position or words say the same.
"""

from __future__ import annotations

import math

from vla_uq.contracts import Score

Colour = tuple[int, int, int]
"""RGB, 0 to 255."""

CALM: Colour = (86, 180, 233)
NEAR: Colour = (230, 159, 0)
ALARM: Colour = (213, 94, 0)

FULL = 2.0
"""Largest :func:`risk` that is told apart, in thresholds."""


def risk(score: Score) -> float:
    """The nonconformity in thresholds, 0 to ``FULL``; ``FULL`` where there is no number, at least 1 where the
    alarm stands.
    """
    value, threshold = score.nonconformity, score.threshold
    if not (math.isfinite(value) and math.isfinite(threshold)):
        return FULL
    # A threshold at or below zero has no meaningful ratio: only the side of it counts.
    ratio = value / threshold if threshold > 0 else (0.0 if value <= threshold else FULL)
    return min(max(ratio, 1.0 if score.alarm else 0.0), FULL)


def colour(score: Score) -> Colour:
    """Blue far below the threshold, turning orange towards it; vermillion where the score does not pass."""
    if not score.passes:
        return ALARM
    share = min(risk(score), 1.0)
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(CALM, NEAR, strict=True))
    return red, green, blue
