"""PCA-KMeans: distance to the nearest cluster of the successes' steps, minus that to the nearest of the failures'.

SAFE (arXiv 2506.09937, section 5.2), whose code projects every query by the principal components of the successes,
also where it is compared with clusters found in those of the failures; here each side has its own components and its
own mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vla_uq.detectors.base import Progress, Tensors
from vla_uq.detectors.embedding import ContrastDetector
from vla_uq.detectors.learnt import Floats, Stored, learnt, positive, single, training_extra

BATCH = 64
"""Queries that are compared with all centres at once, for bounded memory."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """The clusters of one side.

    :param mean: (D,) of its steps.
    :param components: (p, D), orthonormal.
    :param centres: (c, p) of the clusters, in the components' coordinates.
    """

    mean: Floats
    components: Floats
    centres: Floats

    def distances(self, points: Floats) -> Floats:
        """See :meth:`Side.distances`."""
        projected = (points - self.mean) @ self.components.T
        found = np.empty(len(points))
        for start in range(0, len(points), BATCH):
            part = projected[start : start + BATCH]
            squares = np.square(part[:, None] - self.centres).sum(axis=2)
            found[start : start + BATCH] = np.sqrt(squares.min(axis=1))
        return found

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What a state keeps."""
        values = {"mean": self.mean, "components": self.components, "centres": self.centres}
        return {name: value.astype(np.float32) for name, value in values.items()}


class PcaKmeans(ContrastDetector):
    """PCA-KMeans contrast; fitting needs scikit-learn, scoring does not.

    Standardised features, an option here as elsewhere, make the components that vary least count as much as the others,
    and told failures worse in the small policy's episodes.

    :param components: principal components kept of each side, fewer where its steps span fewer.
    :param clusters: of each side, fewer where it has fewer steps.
    :param seed: of the clusters' first centres.
    """

    name: ClassVar[str] = "pca_kmeans"
    parameters: ClassVar[Mapping[str, type]] = {"components": int, "clusters": int, "seed": int}

    def __init__(
        self,
        aggregator: str = "running_mean",
        feature: str = "features",
        standardise: bool = False,
        success_only: bool = False,
        components: int = 128,
        clusters: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__(aggregator, feature, standardise, success_only)
        positive(self.name, components=components, clusters=clusters)
        self.components, self.clusters, self.seed = components, clusters, seed

    def fit_side(self, episodes: list[Stored], share: float, progress: Progress | None) -> Clusters:
        """See :meth:`ContrastDetector.fit_side`."""
        with training_extra(self.name, "scikit-learn"):
            from sklearn.cluster import KMeans
            from sklearn.decomposition import PCA
        points = np.concatenate(episodes)
        pca = PCA(min(self.components, *points.shape), random_state=self.seed)
        projected = pca.fit_transform(points)
        kmeans = KMeans(min(self.clusters, len(points)), n_init=1, random_state=self.seed).fit(projected)
        mean, components, centres = pca.mean_, pca.components_, kmeans.cluster_centers_
        return Clusters(*(single(np.asarray(value, np.float64)) for value in (mean, components, centres)))

    def load_side(self, tensors: Tensors, width: int, where: str) -> Clusters:
        """See :meth:`ContrastDetector.load_side`."""
        components = learnt(tensors, "components", (None, width), where)
        centres = learnt(tensors, "centres", (None, len(components)), where)
        return Clusters(learnt(tensors, "mean", (width,), where), components, centres)
