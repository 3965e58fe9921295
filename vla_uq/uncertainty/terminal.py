"""How much the field still moves a finished chunk: two cheap scores that need no path of the other members.

Cost: one evaluation for each node and draw of each field.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vla_uq.flow.sampling import Array, VelocityField

TERMINAL_TIMES = (0.7, 0.75, 0.8)
MODE_TIMES = (0.0, 0.1, 0.2)


def terminal_norm(field: VelocityField, chunks: Array, times: Sequence[float] = TERMINAL_TIMES) -> float:
    """Mean of ||v(a, t)|| at finished chunks ``a`` (draw, H, A): small where the field thinks it has arrived."""
    return float(np.mean([_norms(field, chunks, t).mean() for t in times]))


def mode_distance(field: VelocityField, chunks: Array, times: Sequence[float] = MODE_TIMES) -> float:
    """Mean of (1 − t) ||v(a, t)||: the way that the field would still go from ``a`` (draw, H, A) by t = 1."""
    return float(np.mean([(1 - t) * _norms(field, chunks, t).mean() for t in times]))


def _norms(field: VelocityField, chunks: Array, t: float) -> Array:
    v = np.asarray(field(chunks, np.full(len(chunks), t, np.asarray(chunks).dtype)), np.float64)
    norms: Array = np.linalg.norm(v.reshape(len(v), -1), axis=1)
    return norms
