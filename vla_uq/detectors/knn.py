"""Nearest neighbours: the mean distance to the k nearest steps of successes, minus that to failures.

Exact: a matrix product in single precision picks a few more candidates than asked for, and the distances to those are
then computed in double. SAFE (arXiv 2506.09937, section 5.2) finds the cosine variant the best of the embedding
distances. A product with the points as columns is quicker than scikit-learn's search (20,000 x 1024, one thread: see
benchmarks/score_cost.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vla_uq.detectors.base import Progress, Tensors
from vla_uq.detectors.embedding import ContrastDetector
from vla_uq.detectors.learnt import Floats, Stored, learnt, positive

SPARE = 8
"""Candidates beyond k: what single precision may confuse at the k-th place."""
SMALLEST = 1e-8
"""Length below which a vector has no direction; its cosine to all others is 0."""
BATCH = 256
"""Queries in one product, for bounded memory."""


@dataclass(frozen=True, eq=False)
class Bank:
    """The points of one side.

    :param points: (D, n) in single precision, each a column; of length 1 for the cosine.
    :param k: neighbours.
    :param cosine: 1 - cos instead of the Euclidean distance.
    """

    points: Stored
    k: int
    cosine: bool

    @cached_property
    def halves(self) -> Stored:
        """Half the squared length of each point, (n,)."""
        return 0.5 * np.einsum("dn,dn->n", self.points, self.points)

    def distances(self, points: Floats) -> Floats:
        """Mean distance to the k nearest, or to all where there are fewer."""
        found = np.empty(len(points))
        count = self.points.shape[1]
        k, candidates = min(self.k, count), min(self.k + SPARE, count)
        for start in range(0, len(points), BATCH):
            queries = points[start : start + BATCH]
            # Grows as the distance falls; the query's own length changes nothing in the order.
            nearness = queries.astype(np.float32) @ self.points
            if not self.cosine:
                nearness -= self.halves
            nearest = np.argpartition(nearness, count - candidates, axis=1)[:, count - candidates :]
            for i, (query, columns) in enumerate(zip(queries, nearest, strict=True), start):
                found[i] = np.partition(self._exact(query, columns), k - 1)[:k].mean()
        return found

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What a state keeps."""
        return {"points": self.points}

    def _exact(self, query: Floats, columns: NDArray[np.intp]) -> Floats:
        """Distances of some of the points, in double."""
        points = self.points[:, columns].astype(np.float64)
        if self.cosine:
            return 1 - query @ points / max(float(np.linalg.norm(query)), SMALLEST)
        return np.linalg.norm(points - query[:, None], axis=0)


class NearestNeighbours(ContrastDetector):
    """What the two metrics share.

    :param k: neighbours; 1, 5 or 10 in the paper.
    :param max_points: at most so many steps are kept, drawn without replacement in proportion from both outcomes:
        a cap on memory, file and time. Neighbouring steps are so alike that 1000 of 9800 steps of the small policy's
        episodes gave the same ROC-AUC as all of them.
    :param seed: of that draw alone.
    """

    cosine: ClassVar[bool]
    parameters: ClassVar[Mapping[str, type]] = {"k": int, "max_points": int, "seed": int}

    def __init__(
        self,
        aggregator: str = "running_mean",
        feature: str = "features",
        standardise: bool = True,
        success_only: bool = False,
        k: int = 10,
        max_points: int = 5_000,
        seed: int = 0,
    ) -> None:
        super().__init__(aggregator, feature, standardise, success_only)
        positive(self.name, k=k, max_points=max_points)
        self.k, self.max_points, self.seed = k, max_points, seed

    def fit_side(self, episodes: list[Stored], share: float, progress: Progress | None) -> Bank:
        """See :meth:`ContrastDetector.fit_side`."""
        points = np.concatenate(episodes)
        room = max(1, round(self.max_points * share))
        if len(points) > room:
            chosen = np.random.default_rng(self.seed).choice(len(points), room, replace=False)
            points = points[np.sort(chosen)]
        if self.cosine:
            points = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), SMALLEST)
        return self._bank(np.ascontiguousarray(points.T))

    def load_side(self, tensors: Tensors, width: int, where: str) -> Bank:
        """See :meth:`ContrastDetector.load_side`."""
        return self._bank(learnt(tensors, "points", (width, None), where).astype(np.float32))

    def _bank(self, points: Stored) -> Bank:
        return Bank(points, self.k, self.cosine)


class EuclideanKnn(NearestNeighbours):
    """By Euclidean distance."""

    name: ClassVar[str] = "euclidean_knn"
    cosine: ClassVar[bool] = False


class CosineKnn(NearestNeighbours):
    """By 1 - cos of the angle at the origin, which is the mean of the fitting steps when they are standardised."""

    name: ClassVar[str] = "cosine_knn"
    cosine: ClassVar[bool] = True
