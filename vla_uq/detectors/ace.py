"""ACE as a failure detector: the spread of where the sampled chunks lead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vla_uq.detectors.base import Progress, Tensors, take
from vla_uq.detectors.samples import SpreadDetector
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout
from vla_uq.uncertainty.ace import ace, positions
from vla_uq.uncertainty.chunks import Chunks, Floats

RangesOf = Literal["episodes", "observation"]
RANGES_OF: tuple[RangesOf, ...] = get_args(RangesOf)


class Ace(SpreadDetector):
    """Action-chunk entropy (FIPER), see :func:`vla_uq.uncertainty.ace.ace`.

    :param aggregator: none by default, as published.
    :param motion: ``delta`` for actions that are displacements or velocities, ``absolute`` for positions.
    :param ranges_of: what the cells are a share of: the positions in the fitting ``episodes`` that did not fail, or
        those in the draws of each ``observation``.
    """

    name: ClassVar[str] = "ace"
    parameters: ClassVar[Mapping[str, type]] = {"motion": str, "ranges_of": str}

    def __init__(self, aggregator: str = "none", motion: str = "delta", ranges_of: str = "episodes") -> None:
        super().__init__(aggregator)
        if ranges_of not in RANGES_OF:
            raise InputError("unknown choice", where="ranges_of", expected=", ".join(RANGES_OF), found=ranges_of)
        self.motion, self.ranges_of = motion, ranges_of
        self._ranges: Floats | None = None

    def measure(self, samples: Chunks) -> Floats:
        return ace(positions(samples, self.motion), self._ranges)

    def _learn(self, rollouts: Sequence[Rollout], progress: Progress | None) -> None:
        self._ranges = None
        if self.ranges_of == "observation":
            return super()._learn(rollouts, progress)
        usable = [rollout for rollout in rollouts if rollout.meta.success is not False]
        if not usable:
            raise InputError("ranges need episodes that did not fail", where="ranges_of", found="failures only")
        bounds = []
        for i, rollout in enumerate(usable):
            chunks = self._all_chunks({"samples": rollout.tensor("samples")})
            places = positions(chunks[np.isfinite(chunks).all(axis=(1, 2, 3))], self.motion)
            flat = places.reshape(-1, places.shape[-1])
            if len(flat):
                bounds += [flat.min(axis=0), flat.max(axis=0)]
            if progress is not None:
                progress(i + 1, len(usable), "ranges of positions")
        ranges = np.ptp(bounds, axis=0) if bounds else np.zeros(1)
        if not ranges.max() > 0:
            raise InputError("positions do not vary in the fitting episodes", where="samples")
        self._ranges = ranges

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See :meth:`Detector.state`."""
        tensors, config = super().state()
        return tensors if self._ranges is None else {"ranges": self._ranges}, config

    def _restore(self, tensors: Tensors) -> None:
        if self.ranges_of == "observation":
            return
        ranges = np.asarray(take(tensors, "ranges", (min(3, self._fitted()[-1]),)), np.float64)
        if not (np.isfinite(ranges).all() and (ranges >= 0).all() and ranges.max() > 0):
            raise InputError("is wrong", where="ranges", expected="lengths, not all 0", found=ranges)
        self._ranges = ranges
