"""LogpZO: how far a flow, trained to carry features to noise, misses where it starts, for successes minus failures.

FAIL-Detect (arXiv 2503.08558) and SAFE (arXiv 2506.09937, section 5.2): a velocity field v(x, u) is trained by flow
matching from features (u = 0) to a standard normal (u = 1); |x + v(x, 0)|^2 is the squared length of the noise that one
Euler step predicts. On the training distribution the best field gives v(x, 0) = -x, so the score measures what the
net did not learn to cancel. Only v(., 0) is needed to score: the time's part of the input is folded into a bias.

The published nets are one-dimensional U-Nets of 62.1 M parameters each, on features that are not standardised. Here
they are perceptrons on standardised features with one hidden layer of 128: 0.26 M parameters each at 1024 features,
which eight times as many do not clearly improve on (``python -m benchmarks.net_sizes``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vla_uq.detectors.base import Progress, Tensors
from vla_uq.detectors.embedding import ContrastDetector
from vla_uq.detectors.learnt import Floats, Stored, positive, training_extra
from vla_uq.detectors.mlp import Mlp


@dataclass(frozen=True, eq=False)
class Flow:
    """The flow of one side.

    :param start: its velocity at u = 0, (n, D) to (n, D).
    """

    start: Mlp

    def distances(self, points: Floats) -> Floats:
        """See :meth:`Side.distances`."""
        return np.square(points + self.start(points)).sum(axis=1)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What a state keeps."""
        return self.start.tensors()


class LogpZo(ContrastDetector):
    """LogpZO contrast; fitting needs torch, scoring does not.

    :param hidden: units of the one hidden layer.
    :param iterations: optimiser steps of each side, whatever the number of episodes.
    :param batch: steps in each.
    :param seed: of initialisation and batches.
    """

    name: ClassVar[str] = "logpzo"
    parameters: ClassVar[Mapping[str, type]] = {
        "hidden": int, "iterations": int, "batch": int, "learning_rate": float, "seed": int,
    }  # fmt: skip

    def __init__(
        self,
        aggregator: str = "running_mean",
        feature: str = "features",
        standardise: bool = True,
        success_only: bool = False,
        hidden: int = 128,
        iterations: int = 500,
        batch: int = 128,
        learning_rate: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__(aggregator, feature, standardise, success_only)
        positive(self.name, hidden=hidden, iterations=iterations, batch=batch, learning_rate=learning_rate)
        self.hidden, self.iterations, self.batch = hidden, iterations, batch
        self.learning_rate, self.seed = learning_rate, seed

    def fit_side(self, episodes: list[Stored], share: float, progress: Progress | None) -> Flow:
        """See :meth:`ContrastDetector.fit_side`."""
        with training_extra(self.name, "torch"):
            from vla_uq.detectors.logpzo_training import train
        return Flow(train(episodes, self, progress))

    def load_side(self, tensors: Tensors, width: int, where: str) -> Flow:
        """See :meth:`ContrastDetector.load_side`."""
        return Flow(Mlp.from_tensors(tensors, "", (width, self.hidden, width), 0.0, where))
