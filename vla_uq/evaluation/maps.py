"""Where failures lie among a policy's features: one point an episode, brought down to two dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError
from vla_uq.evaluation.protocol import CutOffs
from vla_uq.evaluation.splits import task_key
from vla_uq.rollouts.store import Rollout

Floats = NDArray[np.float64]


def points(rollouts: Sequence[Rollout], cut_offs: CutOffs, feature: str = "features") -> Floats:
    """Mean features of each episode's first steps, up to its cut-off, standardised: (n, D).

    Without the cut-off the map would show how long the episodes are.

    :raises InputError: when a rollout lacks the tensor.
    """
    means = [np.nanmean(r.tensor(feature)[: cut_offs.of(task_key(r.meta))], axis=0, dtype=np.float64) for r in rollouts]
    values = np.nan_to_num(np.stack(means))
    spread = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)


def pca(values: Floats) -> tuple[Floats, float]:
    """The first two principal components (n, 2) and their share of the variance."""
    centred = values - values.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    variance = singular**2
    flat = np.zeros((len(values), 2))
    kept = min(2, len(singular))
    flat[:, :kept] = (left * singular)[:, :kept]
    return flat, float(variance[:2].sum() / variance.sum()) if variance.sum() > 0 else 1.0


def tsne(values: Floats, seed: int = 0) -> Floats:
    """t-SNE (n, 2) of the first 50 principal components; distances between far groups mean nothing in it.

    :raises InputError: when scikit-learn is not installed, or with fewer than 4 points.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise InputError(
            "t-SNE needs scikit-learn", where="feature map", remedy="pip install vla_monitor[train]"
        ) from error
    if len(values) < 4:
        raise InputError("too few episodes", where="feature map", expected="at least 4", found=len(values))
    left, singular, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    perplexity = min(30.0, (len(values) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform((left * singular)[:, :50])
