"""What a failure detector is, and what all detectors share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_uq.detectors.aggregate import Aggregator, aggregate
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout

Tensors = Mapping[str, NDArray[Any]]
Progress = Callable[[int, int, str], None]
"""Called with (done, total, what is being done)."""


class Detector(Protocol):
    """Scores a policy's inferences; higher means more likely to fail.

    ``update`` on the steps of an episode after a ``reset`` gives the same numbers as ``score`` on the whole of it, to
    1e-6.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    @property
    def needs(self) -> tuple[str, ...]:
        """The tensors of a trace that it scores."""

    def fit(self, rollouts: Iterable[Rollout], progress: Progress | None = None) -> None:
        """Learn from episodes.

        :raises InputError: when they do not carry what the detector needs.
        """

    def reset(self) -> None:
        """Begin an episode."""

    def update(self, tensors: Tensors) -> float:
        """Score the next inference of the running episode from the tensors of its trace.

        :returns: the score, NaN when a tensor holds a value that is not finite: such a step is an alarm.
        :raises InputError: naming the tensor that is missing or has the wrong shape.
        """

    def score(self, rollout: Rollout) -> NDArray[np.float64]:
        """Score a whole episode, (T,); the running episode is not touched."""

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Everything that was learnt: named tensors and JSON values."""

    @classmethod
    def from_state(cls, tensors: Tensors, config: Mapping[str, Any], where: str = "") -> Detector:
        """The inverse of :meth:`state`.

        :raises InputError: naming the field that is missing or wrong.
        """


class StreamingDetector(ABC):
    """A detector that scores each step and aggregates over the episode.

    :param aggregator: one of :data:`vla_uq.detectors.aggregate.RULES`.
    """

    needs: tuple[str, ...]

    def __init__(self, aggregator: str) -> None:
        self._running = Aggregator(aggregator)

    @property
    def aggregator(self) -> str:
        return self._running.rule

    @abstractmethod
    def step(self, tensors: Tensors) -> float:
        """The score of the next inference, not aggregated; may be NaN, raises as :meth:`Detector.update`."""

    def episode(self, tensors: Tensors) -> NDArray[np.float64]:
        """:meth:`step` of all inferences of an episode, (T,), from tensors with a leading axis T.

        One after the other here; a detector overrides it where all at once is quicker, or where ``step`` remembers
        the running episode, which this must leave alone.
        """
        length = min(len(value) for value in tensors.values())
        return np.array([self.step({name: value[t] for name, value in tensors.items()}) for t in range(length)])

    def reset(self) -> None:
        """Begin an episode."""
        self._running.reset()

    def update(self, tensors: Tensors) -> float:
        """See :meth:`Detector.update`."""
        return self._running.push(self.step(tensors))

    def score(self, rollout: Rollout) -> NDArray[np.float64]:
        """See :meth:`Detector.score`."""
        tensors = {name: rollout.tensor(name) for name in self.needs}
        try:
            return aggregate(self.aggregator, self.episode(tensors))
        except InputError as error:
            raise error.at(rollout.meta.episode_id) from error


def take(tensors: Tensors, name: str, shape: tuple[int | None, ...]) -> NDArray[np.floating[Any]]:
    """A tensor of a trace, checked; None in ``shape`` stands for any size of at least 1.

    :raises InputError: naming the tensor.
    """
    if name not in tensors:
        raise InputError(
            "tensor is missing",
            where=name,
            expected=", ".join("n" if n is None else str(n) for n in shape),
            found="only " + ", ".join(sorted(tensors)) if tensors else "no tensors",
        )
    value = np.asarray(tensors[name])
    fits = value.ndim == len(shape) and all(
        have >= 1 and want in (None, have) for have, want in zip(value.shape, shape, strict=True)
    )
    if not fits or not np.issubdtype(value.dtype, np.floating):
        raise InputError(
            "tensor has the wrong shape or type",
            where=name,
            expected="float " + " x ".join("n" if n is None else str(n) for n in shape),
            found=f"{value.dtype} " + " x ".join(map(str, value.shape)),
        )
    return value
