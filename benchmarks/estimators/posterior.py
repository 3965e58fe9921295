"""Last-layer posteriors of the acting member, fitted in one pass over its training data."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.estimators.ensemble import Ensemble
from benchmarks.estimators.sampling import Array
from vla_uq.uncertainty.last_layer import LastLayerPosterior, MomentAccumulator

PASSES = 8
"""(time, noise) pairs for each training chunk."""


class Posteriors:
    """Second moments of the last hidden layer and the residual of the field, from which any prior is quick.

    :param member: an ensemble of one.
    :param data: its training conditions (n, C) and chunks (n, H·A).
    """

    def __init__(self, member: Ensemble, data: tuple[Array, Array], seed: int) -> None:
        draw = torch.Generator().manual_seed(seed)
        c, a = (torch.from_numpy(part).float()[None] for part in data)
        accumulator, squares = MomentAccumulator(member.width), []
        for _ in range(PASSES):
            t, z = torch.rand(a.shape[:2], generator=draw), torch.randn(a.shape, generator=draw)
            with torch.no_grad():
                velocity, hidden = member((1 - t)[..., None] * z + t[..., None] * a, t, c)
            accumulator.add(hidden[0].numpy())
            squares.append((velocity - (a - z)).square().mean().item())
        self._moment, self._residual = accumulator.moment, float(np.mean(squares))
        self._chunks, self._outputs = a.shape[1], a.shape[2]

    def full(self, prior: float) -> LastLayerPosterior:
        """With the full covariance."""
        return self._fit(self._moment, prior)

    def diagonal(self, prior: float) -> LastLayerPosterior:
        """With the Hessian's diagonal alone: what a quick approximation loses."""
        return self._fit(np.diag(np.diag(self._moment)), prior)

    def _fit(self, moment: Array, prior: float) -> LastLayerPosterior:
        return LastLayerPosterior.fit(
            moment, chunks=self._chunks, outputs=self._outputs, residual=self._residual, prior=prior
        )
