"""Cluster entropy of the sampled chunks as a failure detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vla_uq.detectors.samples import SpreadDetector
from vla_uq.uncertainty.chunks import Chunks, Floats
from vla_uq.uncertainty.clusters import cluster_entropy


class ClusterEntropy(SpreadDetector):
    """Entropy of the clusters that the draws fall into, see :func:`vla_uq.uncertainty.clusters.cluster_entropy`.

    :param distance: from which on clusters stay apart; it has to suit the actions' units and the chunk's size, so
        choose it on a selection split (SAFE tries .01 to 5 and picks .01 or .05 for single actions).
    """

    name: ClassVar[str] = "cluster_entropy"
    parameters: ClassVar[Mapping[str, type]] = {"distance": float}

    def __init__(self, aggregator: str = "running_mean", distance: float = 1.0) -> None:
        super().__init__(aggregator)
        self.distance = distance

    def measure(self, samples: Chunks) -> Floats:
        return cluster_entropy(samples, self.distance)
