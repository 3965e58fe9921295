"""Maximum mean discrepancy with a Gaussian kernel: how different two sets of samples are as distributions."""

from __future__ import annotations

import numpy as np

from vla_uq.uncertainty.chunks import Floats

ROUNDING = 1e-12
"""Squared distances below this share of the squared norms are rounding errors of their expansion, and count as 0."""


def squared_distances(points: Floats) -> Floats:
    """Between all rows: (..., n, D) → (..., n, n)."""
    # From the first row on: rows that are equal to it are exactly 0, and what is far from the origin loses nothing.
    shifted = points - points[..., :1, :]
    products = shifted @ np.swapaxes(shifted, -1, -2)
    norms = np.diagonal(products, axis1=-2, axis2=-1)
    sums = norms[..., :, None] + norms[..., None, :]
    distances: Floats = sums - 2 * products
    distances[distances < ROUNDING * sums] = 0.0
    return distances


def median_beta(distances: Floats) -> Floats:
    """The median heuristic of Sentinel: twice the median of the squared distances that are not zero.

    :param distances: (..., n, n) squared, of both sets together.
    :returns: (...); 1 where all distances are zero, and the scale does not matter.
    """
    rows, cols = np.triu_indices(distances.shape[-1], 1)
    values = np.sort(distances[..., rows, cols], axis=-1)
    count = values.shape[-1]
    zeros = np.minimum((values == 0).sum(axis=-1), count - 1)
    middle = np.stack([zeros + (count - zeros - 1) // 2, zeros + (count - zeros) // 2], axis=-1)
    beta: Floats = np.take_along_axis(values, middle, axis=-1).sum(axis=-1)
    return np.where(beta > 0, beta, 1.0)


def mmd2(x: Floats, y: Floats, beta: float | None = 1.0) -> Floats:
    """Squared discrepancy of two sets under the kernel exp(-||a - b||² / beta), in [0, 2].

    Mean k(x, x') + mean k(y, y') - 2 mean k(x, y): the biased estimate, diagonals included, no root taken.

    :param x: (..., n, D).
    :param y: (..., m, D).
    :param beta: squared scale; None takes :func:`median_beta` of each pair of sets.
    :returns: (...).
    """
    n = x.shape[-2]
    distances = squared_distances(np.concatenate([x, y], axis=-2))
    scale = median_beta(distances)[..., None, None] if beta is None else beta
    kernel = np.exp(-distances / scale)
    within = kernel[..., :n, :n].mean(axis=(-2, -1)) + kernel[..., n:, n:].mean(axis=(-2, -1))
    value: Floats = within - 2 * kernel[..., :n, n:].mean(axis=(-2, -1))
    return np.maximum(value, 0.0)
