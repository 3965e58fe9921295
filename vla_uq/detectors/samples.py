"""Detectors that look at the chunks which are drawn at an inference: the trace's ``samples``, of member 0 or of all.

They learn no weights, only the chunks' shape and little more, and nothing from failures.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from vla_uq.artefact import field
from vla_uq.detectors.base import Progress, StreamingDetector, Tensors, take
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout
from vla_uq.uncertainty.chunks import MORE_DRAWS, Chunks, Floats

PAIRS_AT_ONCE = 2**22
"""Bounds the memory of scoring an episode: scores compare draws with draws, for each action."""
S = TypeVar("S", bound="SamplesDetector")


class SamplesDetector(StreamingDetector):
    """What they share: the shape that was fitted to, since scores of other shapes do not compare.

    :cvar axes: 3 for the chunks of member 0 (draw, H, A), 4 for those of all members (member, draw, H, A).
    :cvar parameters: the constructor's parameters besides the aggregator, with their types; kept in the state.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    axes: ClassVar[int] = 3
    parameters: ClassVar[Mapping[str, type]] = {}
    needs: tuple[str, ...] = ("samples",)

    def __init__(self, aggregator: str) -> None:
        super().__init__(aggregator)
        self._shape: tuple[int, ...] | None = None

    def fit(self, rollouts: Iterable[Rollout], progress: Progress | None = None) -> None:
        """Note the shape of the first rollout's chunks, and whatever else the score needs.

        :raises InputError: when there are no rollouts, or they do not carry what the score needs.
        """
        listed = list(rollouts)
        if not listed:
            raise InputError("no rollouts to fit to", where=self.name)
        first = listed[0]
        if "samples" not in first.tensors:
            raise InputError("rollout lacks a tensor", where=f"{first.meta.episode_id}: samples", remedy=MORE_DRAWS)
        try:
            self._shape = take({"samples": first.tensor("samples")}, "samples", (None,) * 5).shape[-self.axes :]
            self._learn(listed, progress)
            self._check()
        except InputError as error:
            raise error.at(self.name) from error

    def _learn(self, rollouts: Sequence[Rollout], progress: Progress | None) -> None:
        """What a score learns besides the shape."""
        if progress is not None:
            progress(1, 1, self.name)

    def _check(self) -> None:
        """Refuse at fitting and loading what would otherwise fail at the first score."""
        self.episode({"samples": np.zeros((2, *[1] * (4 - self.axes), *self._fitted()), np.float32)})

    def _fitted(self) -> tuple[int, ...]:
        if self._shape is None:
            raise InputError("is not fitted", where=self.name)
        return self._shape

    def _chunks(self, tensors: Tensors) -> Chunks:
        """The chunks of one inference, (draw, H, A) or (member, draw, H, A)."""
        members = take(tensors, "samples", (*[None] * (4 - self.axes), *self._fitted()))
        return members if self.axes == 4 else members[0]

    def _all_chunks(self, tensors: Tensors) -> Chunks:
        """The chunks of an episode, (T, draw, H, A) or (T, member, draw, H, A)."""
        members = take(tensors, "samples", (None, *[None] * (4 - self.axes), *self._fitted()))
        return members if self.axes == 4 else members[:, 0]

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See :meth:`Detector.state`.

        :raises InputError: before :meth:`fit`.
        """
        settings = {name: getattr(self, name) for name in self.parameters}
        config = {"version": self.version, "aggregator": self.aggregator, "shape": list(self._fitted()), **settings}
        return {}, config

    @classmethod
    def from_state(cls: type[S], tensors: Tensors, config: Mapping[str, Any], where: str = "") -> S:
        """See :meth:`Detector.from_state`."""
        shape = field(config, "shape", list, where)
        if len(shape) != cls.axes or not all(isinstance(n, int) and n > 0 for n in shape):
            raise InputError("is wrong", where=f"{where}: shape", expected=f"{cls.axes} positive sizes", found=shape)
        settings: dict[str, Any] = {name: field(config, name, kind, where) for name, kind in cls.parameters.items()}
        aggregator = field(config, "aggregator", str, where)
        try:
            detector = cls(aggregator, **settings)
            detector._shape = tuple(shape)
            detector._restore(tensors)
            detector._check()
        except InputError as error:
            raise error.at(where) from error
        return detector

    def _restore(self, tensors: Tensors) -> None:
        """Take what :meth:`_learn` learnt from the state's tensors."""


class SpreadDetector(SamplesDetector):
    """A score of one inference's draws, whatever was before."""

    @abstractmethod
    def measure(self, samples: Chunks) -> Floats:
        """Scores of inferences, T times the shape that was fitted to, all finite, (T,)."""

    def step(self, tensors: Tensors) -> float:
        """The score of one inference by itself; NaN when a chunk is not finite."""
        return float(scored(self.measure, self._chunks(tensors)[None])[0])

    def episode(self, tensors: Tensors) -> Floats:
        """See :meth:`StreamingDetector.episode`."""
        return scored(self.measure, self._all_chunks(tensors))


def scored(measure: Callable[..., Floats], *chunks: Chunks) -> Floats:
    """Apply a score to each of T inferences, a bounded number at a time; NaN where chunks are not finite.

    :param measure: takes as many arrays (T, ..., draw, H, A) as are given, returns (T,).
    """
    usable = np.flatnonzero(np.logical_and.reduce([np.isfinite(c).reshape(len(c), -1).all(axis=1) for c in chunks]))
    values = np.full(len(chunks[0]), np.nan)
    draws, horizon = chunks[0].shape[-3:-1]
    block = max(1, PAIRS_AT_ONCE // (draws * draws * horizon))
    for begin in range(0, len(usable), block):
        rows = usable[begin : begin + block]
        values[rows] = measure(*(c[rows] for c in chunks))
    return values
