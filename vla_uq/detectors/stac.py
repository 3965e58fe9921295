"""STAC and STAC-single as failure detectors: they alarm on a policy that keeps changing its mind."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from vla_uq.detectors.base import Progress, Tensors
from vla_uq.detectors.samples import SamplesDetector, scored
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout
from vla_uq.uncertainty.chunks import Chunks, Floats
from vla_uq.uncertainty.stac import stac, stac_single


class ConsistencyDetector(SamplesDetector):
    """A comparison of the chunks of consecutive inferences; 0 at an episode's first.

    :param execute_steps: actions executed between two inferences; 0: those of the fitting episodes.
    :param columns: part of an action that is compared: ``all``, or ``pose`` without the gripper as in Sentinel.
    """

    parameters: ClassVar[Mapping[str, type]] = {"execute_steps": int, "columns": str}

    def __init__(self, aggregator: str = "running_mean", execute_steps: int = 0, columns: str = "all") -> None:
        super().__init__(aggregator)
        self.execute_steps, self.columns = execute_steps, columns
        self._given = execute_steps
        self._previous: Chunks | None = None

    @abstractmethod
    def compare(self, previous: Chunks, current: Chunks) -> Floats:
        """Scores of pairs of inferences (T, draw, H, A), all finite, (T,)."""

    def _learn(self, rollouts: Sequence[Rollout], progress: Progress | None) -> None:
        self.execute_steps = self._given or _common_steps(rollouts)
        super()._learn(rollouts, progress)

    def reset(self) -> None:
        """Begin an episode."""
        super().reset()
        self._previous = None

    def step(self, tensors: Tensors) -> float:
        """The score against the inference before; NaN when a chunk of either is not finite."""
        current = self._chunks(tensors)[None]
        previous, self._previous = self._previous, current.copy()
        return float(_first(current) if previous is None else scored(self.compare, previous, current)[0])

    def episode(self, tensors: Tensors) -> Floats:
        """See :meth:`StreamingDetector.episode`."""
        chunks = self._all_chunks(tensors)
        return np.append(_first(chunks[:1]), scored(self.compare, chunks[:-1], chunks[1:]))


class Stac(ConsistencyDetector):
    """STAC with a kernel of fixed scale (SAFE's variant), see :func:`vla_uq.uncertainty.stac.stac`.

    Where draws lie much farther apart than the root of ``beta``, the kernel is zero between all of them and the score
    is 2 / draws whatever they say: choose ``beta`` for the actions' units and the chunk's size.

    :param beta: squared scale of the kernel, in the actions' units; SAFE's is 1.
    """

    name: ClassVar[str] = "stac"
    parameters: ClassVar[Mapping[str, type]] = {**ConsistencyDetector.parameters, "beta": float}

    def __init__(
        self,
        aggregator: str = "running_mean",
        execute_steps: int = 0,
        columns: str = "all",
        beta: float = 1.0,
    ) -> None:
        super().__init__(aggregator, execute_steps, columns)
        if not beta > 0:
            raise InputError("must be positive", where="beta", found=beta)
        self.beta = beta

    def compare(self, previous: Chunks, current: Chunks) -> Floats:
        return stac(previous, current, self.execute_steps, beta=self.beta, part=self.columns)


class StacMedian(ConsistencyDetector):
    """STAC with the median heuristic, as in Sentinel: it has no scale to choose, and sees none."""

    name: ClassVar[str] = "stac_median"

    def compare(self, previous: Chunks, current: Chunks) -> Floats:
        return stac(previous, current, self.execute_steps, beta=None, part=self.columns)


class StacSingle(ConsistencyDetector):
    """STAC of the executed chunk alone: the mean distance of its actions from those meant before."""

    name: ClassVar[str] = "stac_single"

    def compare(self, previous: Chunks, current: Chunks) -> Floats:
        return stac_single(previous[:, 0], current[:, 0], self.execute_steps, part=self.columns)


def _first(chunks: Chunks) -> float:
    """An episode begins with 0, unless its first chunks (1, draw, H, A) cannot be compared with the second ones."""
    return 0.0 if np.isfinite(chunks).all() else np.nan


def _common_steps(rollouts: Sequence[Rollout]) -> int:
    found = sorted({rollout.meta.execute_steps for rollout in rollouts})
    if len(found) != 1 or found[0] < 1:
        raise InputError(
            "actions executed between two inferences are not known, or differ between episodes",
            where="execute_steps",
            expected="one number for all fitting episodes",
            found=", ".join("unknown" if n < 1 else str(n) for n in found),
            remedy="fit to episodes of one kind, or give the detector's execute_steps",
        )
    return found[0]
