"""Mahalanobis distance to the Gaussian of the successes' steps, minus that to the Gaussian of the failures' steps.

SAFE (arXiv 2506.09937, section 5.2): sqrt((e - mu)^T (cov + ridge I)^-1 (e - mu)), the covariance with n - 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vla_uq.detectors.base import Progress, Tensors
from vla_uq.detectors.embedding import ContrastDetector
from vla_uq.detectors.learnt import Floats, Stored, learnt, mean_of, positive, single


@dataclass(frozen=True, eq=False)
class Gaussian:
    """The Gaussian of one side.

    :param mean: (D,).
    :param whitening: (D, D), whose product with a deviation from the mean has the distance as its length.
    """

    mean: Floats
    whitening: Floats

    def distances(self, points: Floats) -> Floats:
        """See :meth:`Side.distances`."""
        return np.linalg.norm((points - self.mean) @ self.whitening, axis=1)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What a state keeps."""
        return {"mean": self.mean.astype(np.float32), "whitening": self.whitening.astype(np.float32)}


class Mahalanobis(ContrastDetector):
    """Mahalanobis contrast.

    :param ridge: added to the covariance's diagonal: what a direction counts in which the fitting steps do not vary.
        The paper's 1e-4 on raw features lets such directions, noise where there are fewer steps than features, decide
        the distance; on standardised ones the default is a tenth of a feature's variance.
    """

    name: ClassVar[str] = "mahalanobis"
    parameters: ClassVar[Mapping[str, type]] = {"ridge": float}

    def __init__(
        self,
        aggregator: str = "running_mean",
        feature: str = "features",
        standardise: bool = True,
        success_only: bool = False,
        ridge: float = 0.1,
    ) -> None:
        super().__init__(aggregator, feature, standardise, success_only)
        positive(self.name, ridge=ridge)
        self.ridge = ridge

    def fit_side(self, episodes: list[Stored], share: float, progress: Progress | None) -> Gaussian:
        """See :meth:`ContrastDetector.fit_side`."""
        mean = mean_of(episodes)
        scatter = np.zeros((len(mean), len(mean)))
        for steps in episodes:
            centred = steps - mean
            scatter += centred.T @ centred
        covariance = scatter / max(sum(map(len, episodes)) - 1, 1)
        values, vectors = np.linalg.eigh(covariance + self.ridge * np.eye(len(mean)))
        # Rounding can leave an eigenvalue of a singular covariance a little below the ridge, never above it.
        whitening = vectors / np.sqrt(np.maximum(values, self.ridge))
        return Gaussian(single(mean), single(whitening))

    def load_side(self, tensors: Tensors, width: int, where: str) -> Gaussian:
        """See :meth:`ContrastDetector.load_side`."""
        return Gaussian(learnt(tensors, "mean", (width,), where), learnt(tensors, "whitening", (width, width), where))
