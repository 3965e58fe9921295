"""SAFE-MLP (arXiv 2506.09937): a small network on the policy's own latents, trained on successes and failures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vla_uq.artefact import field
from vla_uq.detectors.base import Progress, Tensors
from vla_uq.detectors.safe import FEATURE, Array, Check, Episodes, Recipe, SafeDetector, normaliser, sigmoid, stored
from vla_uq.errors import InputError


@dataclass(frozen=True)
class SafeTraining(Recipe):
    """How SAFE-MLP is trained.

    :param layers: linear layers; one makes the network linear.
    """

    layers: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers < 1:
            raise InputError("is too small", where="training: layers", expected="≥ 1", found=self.layers)


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

    @cached_property
    def _scaled(self) -> list[tuple[Array, Array]]:
        """The layers with the division by the scale in the first one's weights."""
        (weight, bias), *others = self.layers
        return [((weight / self.scale).astype(np.float32), bias), *others]

    def probability(self, features: NDArray[np.floating[Any]]) -> float:
        """Probability of failure that one inference's features (D,) speak for; NaN where they are not finite."""
        h = features.astype(np.float32) - self.mean
        if not np.isfinite(h).all():
            return math.nan
        *inner, (weight, bias) = self._scaled
        for inner_weight, inner_bias in inner:
            h = np.maximum(inner_weight @ h + inner_bias, 0)
        return sigmoid(float((weight @ h + bias)[0]))

    def probabilities(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """:meth:`probability` of each of T inferences: (T, D) to (T,)."""
        h = features.astype(np.float32) - self.mean
        finite = np.isfinite(h).all(axis=1)
        h[~finite] = 0
        *inner, (weight, bias) = self._scaled
        for inner_weight, inner_bias in inner:
            h = np.maximum(h @ inner_weight.T + inner_bias, 0)
        logits = (h @ weight.T + bias)[:, 0].tolist()
        return np.where(finite, [sigmoid(logit) for logit in logits], np.nan)


class SafeMlp(SafeDetector):
    """SAFE-MLP.

    :param aggregator: running mean by default; the paper's ``cumsum`` grows with the episode's length, and with it
        the false alarms on long successes.
    :param training: how :meth:`fit` trains.
    :param network: a fitted one.
    :param feature: the tensor of the trace that it looks at.
    """

    name: ClassVar[str] = "safe_mlp"
    version: ClassVar[int] = 1

    def __init__(
        self,
        aggregator: str = "running_mean",
        training: SafeTraining | None = None,
        network: Network | None = None,
        feature: str = FEATURE,
    ) -> None:
        super().__init__(aggregator, feature)
        self.training = training or SafeTraining()
        self.network = network

    @property
    def scorer(self) -> Network:
        """See :attr:`SafeDetector.scorer`."""
        if self.network is None:
            raise InputError("is not fitted", where=self.name)
        return self.network

    def learn(self, episodes: Episodes, selection: Episodes | None, progress: Progress | None) -> tuple[Check, ...]:
        """See :meth:`SafeDetector.learn`."""
        from vla_uq.detectors.safe_mlp_training import train_mlp

        self.network, history = train_mlp(episodes, selection, self.training, self.aggregator, progress)
        return history

    def step(self, tensors: Tensors) -> float:
        """Probability of failure of one inference by itself; NaN when the features are not finite."""
        return self.scorer.probability(self.features(tensors))

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See :meth:`Detector.state`.

        :raises InputError: before :meth:`fit`.
        """
        network = self.scorer
        tensors: dict[str, NDArray[Any]] = {"mean": network.mean, "scale": network.scale}
        for i, (weight, bias) in enumerate(network.layers):
            tensors[f"layer{i}/weight"], tensors[f"layer{i}/bias"] = weight, bias
        return tensors, {"version": self.version, **self.choices(), "layers": len(network.layers)}

    @classmethod
    def from_state(cls, tensors: Tensors, config: Mapping[str, Any], where: str = "safe_mlp") -> SafeMlp:
        """See :meth:`Detector.from_state`."""
        count = field(config, "layers", int, where)
        if count < 1:
            raise InputError("is wrong", where=f"{where}: layers", expected="at least 1", found=count)
        mean, scale = normaliser(tensors, where)
        layers, width = [], len(mean)
        for i in range(count):
            weight = stored(tensors, f"layer{i}/weight", (1 if i == count - 1 else None, width), where)
            layers.append((weight, stored(tensors, f"layer{i}/bias", (len(weight),), where)))
            width = len(weight)
        feature = field({"feature": FEATURE, **config}, "feature", str, where)
        return cls(field(config, "aggregator", str, where), None, Network(mean, scale, tuple(layers)), feature)
