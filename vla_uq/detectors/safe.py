"""What the two SAFE detectors (arXiv 2506.09937) share: settings of training, episodes to learn from, scoring.

Training is in :mod:`vla_uq.detectors.safe_training` and needs torch; scoring is plain numpy.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_uq.detectors.base import Progress, StreamingDetector, Tensors, take
from vla_uq.errors import InputError
from vla_uq.evaluation.splits import task_key
from vla_uq.rollouts.store import Rollout

Array = NDArray[np.float32]
FEATURE = "features"
LOSSES = ("linear", "hinge", "bce")


@dataclass(frozen=True)
class Recipe:
    """How a SAFE network is trained.

    :param loss: ``linear`` (the paper's), which pushes the accumulated score of successes down and of failures up;
        ``hinge``, the same up to ``threshold``; ``bce``, cross-entropy of each step by itself.
    :param threshold: accumulated score beyond which ``hinge`` leaves a failure alone.
    :param hard_negatives: factor of a term that pushes each episode's maximum away from 1/2; 0 leaves it out.
    :param time_weighting: weigh the early steps of failures more.
    :param regulariser: factor of the sum of squared weights (biases are free).
    :param hidden: units of the hidden or recurrent layer.
    :param batch: episodes of an optimiser step, or as many inferences where they need not be whole episodes.
    :param iterations: optimiser steps at the most.
    :param patience: training stops when so many optimiser steps have not improved the selection AUC.
    :param selection: share of the episodes of each outcome that is kept for selection; 0 keeps the last state instead
        of the best. Not used where episodes to select on are given.
    """

    loss: str = "linear"
    threshold: float = 50.0
    hard_negatives: float = 0.0
    time_weighting: bool = False
    regulariser: float = 1e-1
    hidden: int = 256
    batch: int = 16
    learning_rate: float = 1e-3
    iterations: int = 2000
    patience: int = 500
    selection: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise InputError("unknown loss", where="training: loss", expected=", ".join(LOSSES), found=self.loss)
        for name in ("hidden", "batch", "iterations", "patience"):
            if getattr(self, name) < 1:
                raise InputError("is too small", where=f"training: {name}", expected="≥ 1", found=getattr(self, name))
        if not 0 <= self.selection < 1:
            raise InputError("is wrong", where="training: selection", expected="[0, 1)", found=self.selection)


@dataclass(frozen=True, eq=False)
class Episodes:
    """Episodes to learn from.

    :param features: (T_i, D) of each.
    :param failed: its outcome.
    :param tasks: its task: selection compares episodes of a task over the same number of steps.
    """

    features: list[Array]
    failed: NDArray[np.bool_]
    tasks: list[str]

    def __len__(self) -> int:
        return len(self.features)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        return np.array([len(f) for f in self.features])

    def pick(self, indices: Iterable[int]) -> Episodes:
        """Some of them, in the given order."""
        chosen = list(indices)
        return Episodes([self.features[i] for i in chosen], self.failed[chosen], [self.tasks[i] for i in chosen])

    @classmethod
    def gather(cls, rollouts: Iterable[Rollout], feature: str) -> Episodes:
        """Read the features of rollouts.

        :raises InputError: when a rollout has no outcome or no such tensor.
        """
        features, failed, tasks = [], [], []
        for rollout in rollouts:
            if rollout.meta.success is None:
                raise InputError("episode has no outcome", where=rollout.meta.episode_id, expected="success or failure")
            features.append(np.asarray(rollout.tensor(feature), np.float32))
            failed.append(not rollout.meta.success)
            tasks.append(task_key(rollout.meta))
        return cls(features, np.array(failed, bool), tasks)


@dataclass(frozen=True)
class Check:
    """A look at the selection episodes during training.

    :param iteration: optimiser steps so far.
    :param auc: of the largest score before the task's shortest episode ends.
    """

    iteration: int
    auc: float


class Scorer(Protocol):
    """A fitted network."""

    @property
    def mean(self) -> Array:
        """(D,) of the training features."""

    def probabilities(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Probability of failure after each step of an episode: (T, D) to (T,)."""


class SafeDetector(StreamingDetector):
    """A network on one tensor of the trace, trained on successes and failures.

    :param feature: the tensor, (D,) an inference.
    """

    name: ClassVar[str]

    def __init__(self, aggregator: str, feature: str) -> None:
        super().__init__(aggregator)
        self.feature, self.needs = feature, (feature,)
        self.history: tuple[Check, ...] = ()
        """The looks at the selection episodes in the last :meth:`fit`; none without such episodes."""

    @abstractmethod
    def learn(self, episodes: Episodes, selection: Episodes | None, progress: Progress | None) -> tuple[Check, ...]:
        """Train and keep the network; may raise ImportError where torch is not installed."""

    @property
    @abstractmethod
    def scorer(self) -> Scorer:
        """The fitted network.

        :raises InputError: before :meth:`fit`.
        """

    def fit(
        self,
        rollouts: Iterable[Rollout],
        progress: Progress | None = None,
        selection: Iterable[Rollout] | None = None,
    ) -> None:
        """Train on episodes of both outcomes; the same episodes in the same order give the same network.

        :param selection: episodes that say when to stop, none of which trains; without them a share of ``rollouts``
            is kept for that.
        :raises InputError: when an episode has no outcome or no finite features, an outcome does not occur, or torch
            is not installed.
        """
        episodes = Episodes.gather(rollouts, self.feature)
        chosen = None if selection is None else Episodes.gather(selection, self.feature)
        try:
            self.history = self.learn(episodes, chosen, progress)
        except ImportError as error:
            raise InputError(
                "training needs torch", where=self.name, remedy="pip install vla_monitor[train]"
            ) from error

    def choices(self) -> dict[str, Any]:
        """What of the state was not learnt."""
        chosen: dict[str, Any] = {"aggregator": self.aggregator}
        # Bundles from before there was a choice do not name the default.
        return chosen if self.feature == FEATURE else {**chosen, "feature": self.feature}

    def features(self, tensors: Tensors) -> NDArray[np.floating[Any]]:
        """The features of one inference, checked."""
        return take(tensors, self.feature, self.scorer.mean.shape)

    def episode(self, tensors: Tensors) -> NDArray[np.float64]:
        """See :meth:`StreamingDetector.episode`."""
        features = take(tensors, self.feature, (None, *self.scorer.mean.shape))
        return self.scorer.probabilities(features)


def sigmoid(logit: float) -> float:
    """1 / (1 + exp(-logit)), written so that no exponential overflows."""
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))


def stored(tensors: Tensors, name: str, shape: tuple[int | None, ...], where: str) -> Array:
    """A tensor of a saved network.

    :raises InputError: when it is missing, of another shape or not finite.
    """
    try:
        value = take(tensors, name, shape)
    except InputError as error:
        raise error.at(where) from error
    if not np.isfinite(value).all():
        raise InputError("is not finite", where=f"{where}: {name}")
    return value.astype(np.float32)


def normaliser(tensors: Tensors, where: str) -> tuple[Array, Array]:
    """Mean and scale of a saved network's features.

    :raises InputError: as :func:`stored`, or when a scale is not positive.
    """
    mean = stored(tensors, "mean", (None,), where)
    scale = stored(tensors, "scale", mean.shape, where)
    if not (scale > 0).all():
        raise InputError("is wrong", where=f"{where}: scale", expected="positive")
    return mean, scale
