"""Random network distillation: how far a trained net misses a fixed random one, small where it was trained.

Burda et al., arXiv 1810.12894.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.detectors.base import Tensors
from vla_uq.detectors.learnt import Floats
from vla_uq.detectors.mlp import Mlp

SLOPE = 0.01
"""Of the target's leaky ReLU; the predictor has a plain one."""


@dataclass(frozen=True, eq=False)
class Distillation:
    """A random target and the predictor that was trained to equal it on the steps of one outcome."""

    target: Mlp
    predictor: Mlp

    def distances(self, points: Floats) -> Floats:
        """Length (n,) of the difference at points (n, N)."""
        return np.linalg.norm(self.predictor(points) - self.target(points), axis=1)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What a state keeps."""
        return {**self.target.tensors("target/"), **self.predictor.tensors("predictor/")}

    @classmethod
    def from_tensors(
        cls, tensors: Tensors, width: int, target: Sequence[int], predictor: Sequence[int], output: int, where: str
    ) -> Distillation:
        """The inverse of :meth:`tensors`.

        :param target: hidden units of the target's layers; of the predictor's likewise.
        :raises InputError: naming the tensor that is missing or wrong.
        """
        return cls(
            Mlp.from_tensors(tensors, "target/", (width, *target, output), SLOPE, where),
            Mlp.from_tensors(tensors, "predictor/", (width, *predictor, output), 0.0, where),
        )
