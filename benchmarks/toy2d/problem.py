"""The toy: what is to be learnt, from which conditions, and the grid of conditions on which scores are compared."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WEIGHTS = np.array([0.35, 0.65])
"""Of the two modes."""
PAIRS = 4000
INSIDE = 0.15
"""A condition lies inside the training data when its fifth nearest training condition is nearer than this."""


def modes(c: Array) -> tuple[Array, Array]:
    """The truth p*(a | c), two Gaussians: means (C, 2, 2) and standard deviation (C,).

    Their distance and their width both vary inside the training data: neither may be taken for ignorance.

    :param c: (C, 2).
    """
    x, y = c[:, 0], c[:, 1]
    centre = 0.7 * np.stack([np.sin(1.3 * x + 0.3 * y), np.cos(1.1 * y - 0.3 * x)], 1)
    angle, gap = 0.8 * x - 0.6 * y, 0.15 + 0.85 * _sigmoid(2.5 * y)
    offset = gap[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.stack([centre + offset, centre - offset], 1), 0.08 + 0.17 * _sigmoid(2.5 * x)


def log_density(a: Array, c: Array, time: float = 1.0) -> Array:
    """Ln p*_t of points a (C, N, 2) on the path from noise (t = 0) to the truth (t = 1), (C, N)."""
    means, spread = modes(c)
    variance = (time * spread) ** 2 + (1 - time) ** 2
    square = ((a[:, :, None] - time * means[:, None]) ** 2).sum(-1)
    logs = np.log(WEIGHTS) - square / (2 * variance[:, None, None]) - np.log(2 * math.pi * variance)[:, None, None]
    density: Array = np.logaddexp.reduce(logs, axis=2)
    return density


def sample_actions(c: Array, draws: int, rng: np.random.Generator) -> Array:
    """Draws of the truth, (C, draws, 2)."""
    means, spread = modes(c)
    which = (rng.random((len(c), draws)) > WEIGHTS[0]).astype(int)
    chosen = np.take_along_axis(means, which[..., None], axis=1)
    return chosen + spread[:, None, None] * rng.normal(size=chosen.shape)


def training_pairs(seed: int, count: int = PAIRS) -> tuple[Array, Array]:
    """Conditions (count, 2), from a ring sector and a blob, with one action (count, 2) each."""
    rng = np.random.default_rng(seed)
    ring = rng.random(count) < 0.7
    radius, angle = rng.normal(1.5, 0.25, count), rng.uniform(-0.35 * math.pi, math.pi, count)
    blob = _truncated(rng, count) * 0.35 + [-1.2, -1.3]
    c = np.where(ring[:, None], np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), blob)
    return c, sample_actions(c, 1, rng)[:, 0]


def grid(side: int = 21, reach: float = 2.6) -> Array:
    """Conditions of the comparison, (side², 2)."""
    line = np.linspace(-reach, reach, side)
    return np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)


def support_distance(c: Array, training: Array, neighbours: int = 5) -> Array:
    """Distance of each condition to its fifth nearest training condition, (C,)."""
    distances = np.linalg.norm(c[:, None] - training[None], axis=2)
    nearest: Array = np.partition(distances, neighbours - 1, axis=1)[:, neighbours - 1]
    return nearest


def _sigmoid(x: Array) -> Array:
    value: Array = 1 / (1 + np.exp(-x))
    return value


def _truncated(rng: np.random.Generator, count: int, limit: float = 2.0) -> Array:
    """Standard normal pairs inside a radius."""
    kept = np.empty((0, 2))
    while len(kept) < count:
        drawn = rng.normal(size=(count, 2))
        kept = np.concatenate([kept, drawn[np.linalg.norm(drawn, axis=1) < limit]])
    return kept[:count]
