"""SAFE-LSTM (arXiv 2506.09937): a recurrent network on the policy's own latents; it has seen the whole episode."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vla_uq.artefact import field
from vla_uq.detectors.base import Progress, Tensors
from vla_uq.detectors.safe import FEATURE, Array, Check, Episodes, Recipe, SafeDetector, normaliser, sigmoid, stored
from vla_uq.errors import InputError


@dataclass(frozen=True)
class SafeLstmTraining(Recipe):
    """How SAFE-LSTM is trained: by default with cross-entropy, like the published one."""

    loss: str = "bce"
    regulariser: float = 1e-2
    iterations: int = 1000
    patience: int = 300


Memory = tuple[Array, Array]
"""Hidden state and cell, (H,) each."""


@dataclass(frozen=True, eq=False)
class RecurrentNetwork:
    """A fitted network: features are standardised, then pass an LSTM layer, a linear layer and a sigmoid.

    :param mean: (D,) of the training features.
    :param scale: (D,) their standard deviation, positive.
    :param input_weight: (4 H, D): input gate, forget gate, candidate and output gate.
    :param hidden_weight: (4 H, H), likewise.
    :param bias: (4 H,), likewise.
    :param out_weight: (H,)
    :param out_bias: (1,)
    """

    mean: Array
    scale: Array
    input_weight: Array
    hidden_weight: Array
    bias: Array
    out_weight: Array
    out_bias: Array

    @cached_property
    def _halved(self) -> tuple[Array, Array, Array]:
        """Weights of features minus mean, of the hidden state, and bias, with the gates' rows halved.

        A sigmoid is (1 + tanh(x / 2)) / 2, so that one tanh serves all four; tanh cannot overflow.
        """
        size = len(self.out_weight)
        factor = np.full((4 * size, 1), 0.5, np.float32)
        factor[2 * size : 3 * size] = 1
        return factor * (self.input_weight / self.scale), factor * self.hidden_weight, factor[:, 0] * self.bias

    def start(self) -> Memory:
        """The memory before an episode."""
        return np.zeros_like(self.out_weight), np.zeros_like(self.out_weight)

    def probability(self, features: NDArray[np.floating[Any]], memory: Memory) -> tuple[float, Memory]:
        """Probability of failure after the next inference's features (D,), and the memory of it.

        From a step with features that are not finite on, it is NaN until the episode ends: the memory has a gap.
        """
        centred = features.astype(np.float32) - self.mean
        weight, _, bias = self._halved
        return self._advance(
            weight @ centred + bias if np.isfinite(centred).all() else np.full_like(bias, np.nan), memory
        )

    def probabilities(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """:meth:`probability` after each inference of an episode: (T, D) to (T,)."""
        centred = features.astype(np.float32) - self.mean
        weight, _, bias = self._halved
        finite = np.isfinite(centred).all(axis=1)
        centred[~finite] = 0
        driven = centred @ weight.T + bias
        driven[~finite] = np.nan
        memory, found = self.start(), []
        for step in driven:
            probability, memory = self._advance(step, memory)
            found.append(probability)
        return np.array(found)

    def _advance(self, driven: Array, memory: Memory) -> tuple[float, Memory]:
        """One step from what the features contribute to the gates, (4 H,)."""
        hidden, cell = memory
        gates = np.tanh(driven + self._halved[1] @ hidden).reshape(4, -1)
        enter, forget, leave = 0.5 * gates[[0, 1, 3]] + 0.5
        cell = forget * cell + enter * gates[2]
        hidden = leave * np.tanh(cell)
        logit = float(self.out_weight @ hidden + self.out_bias[0])
        return (math.nan if math.isnan(logit) else sigmoid(logit)), (hidden, cell)


class SafeLstm(SafeDetector):
    """SAFE-LSTM.

    :param aggregator: none by default: the network accumulates by itself.
    :param training: how :meth:`fit` trains.
    :param network: a fitted one.
    :param feature: the tensor of the trace that it looks at.
    """

    name: ClassVar[str] = "safe_lstm"
    version: ClassVar[int] = 1

    def __init__(
        self,
        aggregator: str = "none",
        training: SafeLstmTraining | None = None,
        network: RecurrentNetwork | None = None,
        feature: str = FEATURE,
    ) -> None:
        super().__init__(aggregator, feature)
        self.training = training or SafeLstmTraining()
        self.network = network
        self._memory: Memory | None = None

    @property
    def scorer(self) -> RecurrentNetwork:
        """See :attr:`SafeDetector.scorer`."""
        if self.network is None:
            raise InputError("is not fitted", where=self.name)
        return self.network

    def learn(self, episodes: Episodes, selection: Episodes | None, progress: Progress | None) -> tuple[Check, ...]:
        """See :meth:`SafeDetector.learn`."""
        from vla_uq.detectors.safe_lstm_training import train_lstm

        self.network, history = train_lstm(episodes, selection, self.training, self.aggregator, progress)
        self.reset()
        return history

    def reset(self) -> None:
        """Begin an episode."""
        super().reset()
        self._memory = None

    def step(self, tensors: Tensors) -> float:
        """Probability of failure after the next inference; NaN from the first whose features are not finite on."""
        memory = self._memory or self.scorer.start()
        probability, self._memory = self.scorer.probability(self.features(tensors), memory)
        return probability

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See :meth:`Detector.state`.

        :raises InputError: before :meth:`fit`.
        """
        tensors = {f.name: getattr(self.scorer, f.name) for f in fields(self.scorer)}
        return tensors, {"version": self.version, **self.choices()}

    @classmethod
    def from_state(cls, tensors: Tensors, config: Mapping[str, Any], where: str = "safe_lstm") -> SafeLstm:
        """See :meth:`Detector.from_state`."""
        mean, scale = normaliser(tensors, where)
        out_weight = stored(tensors, "out_weight", (None,), where)
        size = len(out_weight)
        network = RecurrentNetwork(
            mean,
            scale,
            stored(tensors, "input_weight", (4 * size, len(mean)), where),
            stored(tensors, "hidden_weight", (4 * size, size), where),
            stored(tensors, "bias", (4 * size,), where),
            out_weight,
            stored(tensors, "out_bias", (1,), where),
        )
        feature = field({"feature": FEATURE, **config}, "feature", str, where)
        return cls(field(config, "aggregator", str, where), None, network, feature)
