"""RND on what the policy is about to do where it is: the executed chunk and the features, successes minus failures.

SAFE (arXiv 2506.09937, section 5.2) after FAIL-Detect (arXiv 2503.08558): a frozen random net of chunk and features,
and two predictors of it, trained on the steps of successes and of failures; the score is the successes' error minus
the failures'. The published code pads the chunks of all episodes but one with zeros, so that its nets saw no actions;
here each step has its own. Chunk and features are standardised, and weigh the same however many numbers each has.

The published nets are three one-dimensional U-Nets of 92.35 M parameters each (2048 features). Here they are
perceptrons with hidden layers of 128, one in the target and two in the predictors: 0.5 M parameters in all at 1024
features and chunks of 16 x 7, which larger nets do not clearly improve on (``python -m benchmarks.net_sizes``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vla_uq.artefact import field
from vla_uq.detectors.base import Progress, Tensors, take
from vla_uq.detectors.distillation import Distillation
from vla_uq.detectors.embedding import ContrastDetector, Steps
from vla_uq.detectors.learnt import Standardiser, Stored, positive, training_extra
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout


class Rnd(ContrastDetector):
    """RND contrast; fitting needs torch, scoring does not.

    :param hidden: units of the target's hidden layer and of each of the predictors' two.
    :param output: numbers that are predicted.
    :param iterations: optimiser steps of each predictor, whatever the number of episodes.
    :param batch: inferences in each.
    :param seed: of target, initialisation and batches.
    """

    name: ClassVar[str] = "rnd"
    parameters: ClassVar[Mapping[str, type]] = {
        "hidden": int, "output": int, "iterations": int, "batch": int, "learning_rate": float, "seed": int,
    }  # fmt: skip

    def __init__(
        self,
        aggregator: str = "running_mean",
        feature: str = "features",
        standardise: bool = True,
        success_only: bool = False,
        hidden: int = 128,
        output: int = 64,
        iterations: int = 500,
        batch: int = 128,
        learning_rate: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__(aggregator, feature, standardise, success_only)
        positive(self.name, hidden=hidden, output=output, iterations=iterations, batch=batch)
        positive(self.name, learning_rate=learning_rate)
        self.hidden, self.output, self.iterations, self.batch = hidden, output, iterations, batch
        self.learning_rate, self.seed = learning_rate, seed
        self.needs = ("samples", feature)
        self._chunk: tuple[int, ...] = ()

    def fit(self, rollouts: Iterable[Rollout], progress: Progress | None = None) -> None:
        """See :meth:`ContrastDetector.fit`; all chunks have the first one's shape."""
        listed = list(rollouts)
        self._chunk = listed[0].tensor("samples").shape[-2:] if listed else ()
        super().fit(listed, progress)

    def rows(self, tensors: Tensors) -> Steps:
        """Executed chunk and features of T inferences, (T, H A + D); NaN where any sample is not finite."""
        samples = take(tensors, "samples", (None, None, None, *self._chunk))
        width = None if self._scaling is None else self._scaling.width - math.prod(self._chunk)
        features = take(tensors, self.feature, (len(samples), width))
        rows = np.concatenate([samples[:, 0, 0].reshape(len(samples), -1), features], axis=1)
        rows[~np.isfinite(samples).all(axis=(1, 2, 3, 4))] = math.nan
        return rows

    def fit_scaling(self, episodes: list[Stored]) -> Standardiser:
        """See :meth:`ContrastDetector.fit_scaling`; chunk and features get the same mean square length."""
        plain = super().fit_scaling(episodes)
        chunk, width = math.prod(self._chunk), plain.width
        share = np.where(np.arange(width) < chunk, chunk, width - chunk) * 2 / width
        return Standardiser.rounded(plain.mean, plain.scale * np.sqrt(share))

    def fit_side(self, episodes: list[Stored], share: float, progress: Progress | None) -> Distillation:
        """See :meth:`ContrastDetector.fit_side`."""
        with training_extra(self.name, "torch"):
            from vla_uq.detectors.rnd_training import train
        return train(episodes, self, progress)

    def load_side(self, tensors: Tensors, width: int, where: str) -> Distillation:
        """See :meth:`ContrastDetector.load_side`."""
        return Distillation.from_tensors(tensors, width, (self.hidden,), (self.hidden,) * 2, self.output, where)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See :meth:`Detector.state`."""
        tensors, config = super().state()
        return tensors, {**config, "chunk": list(self._chunk)}

    @classmethod
    def from_state(cls, tensors: Tensors, config: Mapping[str, Any], where: str = "") -> Rnd:
        """See :meth:`Detector.from_state`."""
        chunk = field(config, "chunk", list, where)
        detector = super().from_state(tensors, config, where)
        sizes = all(isinstance(size, int) and size > 0 for size in chunk)
        if len(chunk) != 2 or not sizes or math.prod(chunk) >= detector.scaling.width:
            raise InputError("is wrong", where=f"{where}: chunk", expected="horizon and columns", found=chunk)
        detector._chunk = tuple(chunk)
        return detector
