"""SAFE-MLP (arXiv 2506.09937): a small network on the policy's own latents, trained on successes and failures.

Scoring is plain numpy, training is in :mod:`vla_uq.detectors.safe_training` and needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vla_uq.artefact import field
from vla_uq.detectors.base import Progress, StreamingDetector, Tensors, take
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout

Array = NDArray[np.float32]


@dataclass(frozen=True)
class SafeTraining:
    """How SAFE-MLP is trained: the paper's loss, with a fixed number of small batches instead of its 1000 epochs.

    :param hidden: units of the hidden layer; 0 makes the network linear.
    :param iterations: optimiser steps, whatever the number of episodes.
    :param batch: episodes in a step.
    :param regulariser: factor of the sum of squared weights (biases are free).
    :param time_weighting: weigh the early steps of failures more.
    """

    hidden: int = 256
    iterations: int = 1000
    batch: int = 64
    learning_rate: float = 3e-4
    regulariser: float = 1e-1
    time_weighting: bool = False
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Network:
    """A fitted network: features are standardised, then pass linear layers with ReLU between them and a sigmoid.

    :param mean: (D,) of the training features.
    :param scale: (D,) their standard deviation, positive.
    :param layers: weight (out, in) and bias (out,) of each layer; the last has one output.
    """

    mean: Array
    scale: Array
    layers: tuple[tuple[Array, Array], ...]

    def probability(self, features: NDArray[np.floating[Any]]) -> float:
        """Probability of failure that one inference's features (D,) speak for, in (0, 1)."""
        h = (features.astype(np.float32) - self.mean) / self.scale
        for weight, bias in self.layers[:-1]:
            h = np.maximum(weight @ h + bias, 0)
        weight, bias = self.layers[-1]
        logit = float((weight @ h + bias)[0])
        # Written so that no exponential overflows.
        return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))


class SafeMlp(StreamingDetector):
    """SAFE-MLP on the trace's ``features``.

    :param aggregator: running mean by default; the paper's ``cumsum`` grows with the episode's length, and with it
        the false alarms on long successes.
    """

    name: ClassVar[str] = "safe_mlp"
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ("features",)

    def __init__(
        self, aggregator: str = "running_mean", training: SafeTraining | None = None, network: Network | None = None
    ) -> None:
        super().__init__(aggregator)
        self.training = training or SafeTraining()
        self.network = network

    def fit(self, rollouts: Iterable[Rollout], progress: Progress | None = None) -> None:
        """Train on episodes of both outcomes; the same episodes in the same order give the same network.

        :raises InputError: when an episode has no outcome or no finite features, an outcome does not occur, or torch
            is not installed.
        """
        try:
            from vla_uq.detectors.safe_training import train
        except ImportError as error:
            raise InputError(
                "training needs torch", where="safe_mlp", remedy="pip install vla_monitor[train]"
            ) from error
        features, failed = [], []
        for rollout in rollouts:
            if rollout.meta.success is None:
                raise InputError("episode has no outcome", where=rollout.meta.episode_id, expected="success or failure")
            features.append(np.asarray(rollout.tensor("features"), np.float32))
            failed.append(not rollout.meta.success)
        self.network = train(features, failed, self.training, progress)

    def step(self, tensors: Tensors) -> float:
        """Probability of failure of one inference by itself; NaN when the features are not finite."""
        if self.network is None:
            raise InputError("is not fitted", where=self.name)
        features = take(tensors, "features", self.network.mean.shape)
        return self.network.probability(features) if np.isfinite(features).all() else math.nan

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See :meth:`Detector.state`.

        :raises InputError: before :meth:`fit`.
        """
        if self.network is None:
            raise InputError("is not fitted", where=self.name)
        tensors: dict[str, NDArray[Any]] = {"mean": self.network.mean, "scale": self.network.scale}
        for i, (weight, bias) in enumerate(self.network.layers):
            tensors[f"layer{i}/weight"], tensors[f"layer{i}/bias"] = weight, bias
        return tensors, {"version": self.version, "aggregator": self.aggregator, "layers": len(self.network.layers)}

    @classmethod
    def from_state(cls, tensors: Tensors, config: Mapping[str, Any], where: str = "safe_mlp") -> SafeMlp:
        """See :meth:`Detector.from_state`."""
        count = field(config, "layers", int, where)
        if count < 1:
            raise InputError("is wrong", where=f"{where}: layers", expected="at least 1", found=count)
        mean = _tensor(tensors, "mean", (None,), where)
        scale = _tensor(tensors, "scale", mean.shape, where)
        if not (scale > 0).all():
            raise InputError("is wrong", where=f"{where}: scale", expected="positive")
        layers, width = [], len(mean)
        for i in range(count):
            weight = _tensor(tensors, f"layer{i}/weight", (1 if i == count - 1 else None, width), where)
            layers.append((weight, _tensor(tensors, f"layer{i}/bias", (len(weight),), where)))
            width = len(weight)
        return cls(field(config, "aggregator", str, where), network=Network(mean, scale, tuple(layers)))


def _tensor(tensors: Tensors, name: str, shape: tuple[int | None, ...], where: str) -> Array:
    try:
        value = take(tensors, name, shape)
    except InputError as error:
        raise error.at(where) from error
    if not np.isfinite(value).all():
        raise InputError("is not finite", where=f"{where}: {name}")
    return value.astype(np.float32)
