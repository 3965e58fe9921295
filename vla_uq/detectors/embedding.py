"""Detectors on a policy's own features, and the contrast that most of them make: how much nearer to failures.

SAFE's embedding baselines (arXiv 2506.09937, section 5.2) score d(e, successes) - d(e, failures), where the two sets
are the steps of the successful and of the failed episodes seen in training. What is kept of a set, and the distance to
it, is all in which the detectors differ.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vla_uq.artefact import field
from vla_uq.detectors.base import Progress, StreamingDetector, Tensors, take
from vla_uq.detectors.learnt import Floats, Standardiser, Stored, below
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout

C = TypeVar("C", bound="ContrastDetector")
Steps = NDArray[np.floating[Any]]
OUTCOMES = ("success", "failure")


def by_outcome(rollouts: Iterable[Rollout], read: Callable[[Rollout], Steps]) -> tuple[list[Stored], list[Stored]]:
    """What a detector learns from of each successful and of each failed episode.

    :param read: an episode's steps, (T, N) with one N.
    :raises InputError: naming the episode that has no outcome, or whose steps are missing, of another size or not
        finite; or when there is no success.
    """
    found: tuple[list[Stored], list[Stored]] = ([], [])
    width: int | None = None
    for rollout in rollouts:
        episode = rollout.meta.episode_id
        if rollout.meta.success is None:
            raise InputError("episode has no outcome", where=episode, expected="success or failure")
        try:
            steps = read(rollout)
        except InputError as error:
            raise error.at(episode) from error
        width = steps.shape[1] if width is None else width
        if steps.shape[1] != width:
            raise InputError("steps differ in size", where=episode, expected=width, found=steps.shape[1])
        if not np.isfinite(steps).all():
            raise InputError("steps are not finite", where=episode)
        found[not rollout.meta.success].append(steps.astype(np.float32))
    if not found[0]:
        raise InputError("needs successes", where="rollouts", found=f"{len(found[1])} failures")
    return found


class FeatureDetector(StreamingDetector):
    """Scores each inference by itself from numbers of its trace; all of an episode at once where the episode is there.

    :param feature: name of the tensor that holds the policy's features.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1

    def __init__(self, aggregator: str, feature: str) -> None:
        super().__init__(aggregator)
        self.feature = feature
        self.needs = (feature,)
        self._scaling: Standardiser | None = None

    def rows(self, tensors: Tensors) -> Steps:
        """The numbers that T inferences are scored by, (T, N), from tensors with a leading axis T.

        :raises InputError: naming the tensor that is missing or has the wrong shape.
        """
        return take(tensors, self.feature, (None, None if self._scaling is None else self._scaling.width))

    @abstractmethod
    def distances(self, points: Floats) -> Floats:
        """Scores (n,) of the scaled numbers (n, N) of n inferences."""

    @property
    def scaling(self) -> Standardiser:
        """How the numbers are scaled.

        :raises InputError: before :meth:`fit`.
        """
        if self._scaling is None:
            raise InputError("is not fitted", where=self.name)
        return self._scaling

    def step(self, tensors: Tensors) -> float:
        """The score of one inference by itself; NaN when one of its numbers is not finite."""
        return float(self.episode({name: tensors[name][None] for name in self.needs if name in tensors})[0])

    def episode(self, tensors: Tensors) -> Floats:
        """See :meth:`StreamingDetector.episode`."""
        scaling, rows = self.scaling, self.rows(tensors)
        found = np.full(len(rows), math.nan)
        finite = np.isfinite(rows).all(axis=1)
        if finite.any():
            found[finite] = self.distances(scaling(rows[finite]))
        return found


class Side(Protocol):
    """What is kept of the steps of one outcome."""

    def distances(self, points: Floats) -> Floats:
        """Distances (n,) of points (n, D) from it."""

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What a state keeps of it."""


class ContrastDetector(FeatureDetector):
    """Distance to the successes minus distance to the failures.

    Without failures in the fitting episodes, or on request, it is the distance to the successes alone; the state's
    ``success_only`` says which.

    :cvar parameters: the constructor's parameters besides those given here, with their types; kept in the state.
    :param standardise: scale the features to mean 0 and deviation 1 over the fitting steps first.
    :param success_only: leave the failures out although there are some.
    """

    parameters: ClassVar[Mapping[str, type]]

    def __init__(self, aggregator: str, feature: str, standardise: bool, success_only: bool) -> None:
        super().__init__(aggregator, feature)
        self.standardise, self.success_only = standardise, success_only
        self._wanted = success_only
        self._sides: tuple[Side, ...] = ()

    @abstractmethod
    def fit_side(self, episodes: list[Stored], share: float, progress: Progress | None) -> Side:
        """Learn one side.

        :param episodes: scaled features (T_i, D) of the episodes of one outcome, at least one.
        :param share: of all fitting steps that are theirs.
        """

    @abstractmethod
    def load_side(self, tensors: Tensors, width: int, where: str) -> Side:
        """A side from its tensors.

        :raises InputError: naming the tensor that is missing or wrong.
        """

    def fit(self, rollouts: Iterable[Rollout], progress: Progress | None = None) -> None:
        """Learn from episodes of both outcomes, or of successes alone.

        :raises InputError: when there is no success, an episode has no outcome, or its features are not usable.
        """
        self._scaling = None
        successes, failures = by_outcome(rollouts, lambda rollout: self.rows(rollout.tensors))
        self.success_only = self._wanted or not failures
        outcomes = [successes] if self.success_only else [successes, failures]
        listed = [steps for outcome in outcomes for steps in outcome]
        scaling, total = self.fit_scaling(listed), sum(map(len, listed))
        sides = []
        for number, outcome in enumerate(outcomes, 1):
            scaled = [scaling(features).astype(np.float32) for features in outcome]
            sides.append(self.fit_side(scaled, sum(map(len, scaled)) / total, progress))
            if progress is not None:
                progress(number, len(outcomes), f"fitting {self.name}")
        self._scaling, self._sides = scaling, tuple(sides)

    def fit_scaling(self, episodes: list[Stored]) -> Standardiser:
        """How to scale what was seen in the fitting episodes, (T_i, N) each."""
        return Standardiser.fit(episodes) if self.standardise else Standardiser.none(episodes[0].shape[1])

    def distances(self, points: Floats) -> Floats:
        """See :meth:`FeatureDetector.distances`."""
        found = self._sides[0].distances(points)
        return found if self.success_only else found - self._sides[1].distances(points)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See :meth:`Detector.state`.

        :raises InputError: before :meth:`fit`.
        """
        tensors = self.scaling.tensors()
        for outcome, side in zip(OUTCOMES, self._sides, strict=False):
            tensors |= {f"{outcome}/{name}": value for name, value in side.tensors().items()}
        return tensors, {"version": self.version, **{name: getattr(self, name) for name in self._all_parameters()}}

    @classmethod
    def from_state(cls: type[C], tensors: Tensors, config: Mapping[str, Any], where: str = "") -> C:
        """See :meth:`Detector.from_state`."""
        detector = cls(**{name: field(config, name, kind, where) for name, kind in cls._all_parameters().items()})
        detector._scaling = Standardiser.from_tensors(tensors, where)
        detector._sides = tuple(
            detector.load_side(below(tensors, f"{outcome}/"), detector._scaling.width, f"{where}: {outcome}")
            for outcome in (OUTCOMES[:1] if detector.success_only else OUTCOMES)
        )
        return detector

    @classmethod
    def _all_parameters(cls) -> dict[str, type]:
        return {"aggregator": str, "feature": str, "standardise": bool, "success_only": bool, **cls.parameters}
