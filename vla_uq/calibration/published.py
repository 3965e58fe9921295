"""Thresholds as the published code computes them, for comparison only: their false-alarm rate is not held.

They interpolate a quantile, or cut a rank that is too large, where the finite-sample order statistic would be refused;
with few episodes they alarm far more often than alpha (``python -m benchmarks.coverage``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vla_uq.calibration.bounds import ceil_rank
from vla_uq.calibration.functional import Curve, Floats, align


def band(fitting: Sequence[Curve], calibration: Sequence[Curve], alpha: float) -> Floats:
    """SAFE's and FAIL-Detect's band (Tfunc), (T,); they alarm at score >= band.

    All curves go on with their last value to the longest one's end; ``np.quantile`` of the standardised peaks.
    """
    length = max(map(len, [*fitting, *calibration]))
    a, b = align(fitting, length), align(calibration, length)
    mean = a.mean(axis=0)
    deviations = np.abs(a - mean)
    worst = deviations.max(axis=1)
    rank = min(ceil_rank(len(worst), alpha), len(worst))
    scale = deviations[worst <= np.sort(worst)[rank - 1]].max(axis=0) + 1e-8
    factor = np.quantile(((b - mean) / scale).max(axis=1), 1 - alpha)
    return np.asarray(mean + factor * scale)


def split(successes: Sequence[float], alpha: float) -> float:
    """SAFE's split conformal on max-so-far; it alarms at score >= threshold. A rank above n becomes n."""
    n = len(successes)
    return float(sorted(successes)[min(max(ceil_rank(n, alpha), 1), n) - 1])


def constant(successes: Sequence[float], alpha: float) -> float:
    """FIPER's constant threshold: ``np.quantile`` of the largest scores; it alarms at score > threshold."""
    return float(np.quantile(np.asarray(successes, np.float64), 1 - alpha))
