"""Entropy of the clusters that sampled chunks fall into: how undecided a policy is between ways to act."""

from __future__ import annotations

import math

import numpy as np

from vla_uq.errors import InputError
from vla_uq.uncertainty.chunks import Chunks, Floats, check_draws


def cluster_entropy(samples: Chunks, distance: float) -> Floats:
    """Entropy, in nats, of the sizes of clusters of flattened chunks (arXiv 2506.09937, baselines).

    Agglomerative clustering with Ward's linkage; what lies ``distance`` apart or more is not merged. Between 0 (one
    cluster) and ln draws (each chunk its own).

    :param samples: (..., draw, H, A), 2 draws or more, finite.
    :param distance: Euclidean, between flattened chunks.
    :returns: (...).
    :raises InputError: when there is one draw, the distance is not positive, or scipy is not installed.
    """
    try:
        from scipy.cluster.hierarchy import fcluster, linkage
    except ImportError as error:
        raise InputError("needs scipy", where="cluster_entropy", remedy="pip install vla_monitor[train]") from error
    check_draws(samples)
    if not (math.isfinite(distance) and distance > 0):
        raise InputError("must be positive", where="distance", found=distance)
    draws = samples.shape[-3]
    flat = np.asarray(samples, np.float64).reshape(-1, draws, samples.shape[-2] * samples.shape[-1])
    below = np.nextafter(distance, 0)  # fcluster merges at its threshold, this stays under it
    labels = [fcluster(linkage(chunks, "ward"), below, "distance") for chunks in flat]
    return np.array([_entropy(np.bincount(label)[1:] / draws) for label in labels]).reshape(samples.shape[:-3])


def _entropy(shares: Floats) -> float:
    """Of shares that are positive and sum to 1."""
    return -float(shares @ np.log(shares))
