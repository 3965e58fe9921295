"""Uncertainties that SAVE can take from recorded tensors, and the temperature that suits each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vla_uq.acquisition.recorded import Frame
from vla_uq.detectors.base import Detector
from vla_uq.errors import InputError
from vla_uq.uncertainty.action_l2 import action_l2
from vla_uq.uncertainty.gu import log_variance
from vla_uq.uncertainty.inputs import Field
from vla_uq.uncertainty.vfd import vfd


@dataclass(frozen=True)
class Uncertainty:
    """u of a candidate.

    :param needs: tensors of its first inference.
    :param measure: from those tensors; higher means less sure.
    """

    name: str
    needs: tuple[str, ...]
    measure: Callable[[Frame], float]

    @property
    def temperature(self) -> float:
        """SAVE's, as in arXiv 2606.18043 where it has the score; 1 for all others."""
        return TEMPERATURES.get(self.name, 1.0)

    @property
    def shifted(self) -> bool:
        """Whether the scores have no zero that means certainty, so that only their differences count."""
        return self.name not in TEMPERATURES

    def of(self, frame: Frame, where: str = "") -> float:
        """Its value for one candidate.

        :raises InputError: when it is not finite or the tensors do not fit, naming ``where``.
        """
        try:
            # What is not finite is told as a fault of the candidate, not as a warning of numpy.
            with np.errstate(invalid="ignore", over="ignore"):
                value = self.measure(frame)
            if not np.isfinite(value):
                raise InputError("is not finite", where=self.name, found=value, remedy="leave the episode out")
        except InputError as error:
            raise error.at(where) from error
        return value


TEMPERATURES: Mapping[str, float] = {
    "vfd": 2.5,
    "last_layer_vfd": 2.5,
    "action_l2": 1.5,
    "vfd_two_way": 1.0,
    "decu": 1.0,
    "decu_kl": 1.0,
}
"""Of the scores whose zero means certainty."""
RECORDED: Mapping[str, tuple[tuple[str, ...], Callable[..., float]]] = {
    "vfd": (("velocities", "flow_times"), vfd),
    "action_l2": (("samples",), action_l2),
    "gu": (("samples",), log_variance),
}
"""Scores that need nothing but tensors, the first of which holds chunks; everything else is a fitted detector."""


def from_tensors(name: str, steps: int | None = None, dims: int | None = None) -> Uncertainty:
    """One of :data:`RECORDED`.

    :param steps: only the first so many actions of a chunk, those that are executed.
    :param dims: only the first so many dimensions, where the policy pads its actions.
    :raises InputError: for another name.
    """
    if name not in RECORDED:
        raise InputError(
            "needs a fitted detector of that name",
            where="score",
            expected=f"{', '.join(RECORDED)}, or a detector",
            found=name,
        )
    needs, score = RECORDED[name]

    def measure(frame: Frame) -> float:
        chunks, *rest = (frame[tensor] for tensor in needs)
        return score(_cut(chunks, steps, dims), *rest)

    return Uncertainty(name, needs, measure)


def from_detector(detector: Detector) -> Uncertainty:
    """A fitted detector's score of the first inference."""

    def measure(frame: Frame) -> float:
        detector.reset()
        return detector.update(frame)

    return Uncertainty(detector.name, tuple(detector.needs), measure)


def _cut(chunks: Field, steps: int | None, dims: int | None) -> Field:
    """The executed and real part of chunks (..., H, A)."""
    if chunks.ndim < 2:
        return chunks  # the score names the shape that it needs
    for name, size, limit in (("steps", steps, chunks.shape[-2]), ("dims", dims, chunks.shape[-1])):
        if size is not None and not 1 <= size <= limit:
            raise InputError("outside the chunk", where=name, expected=f"1 to {limit}", found=size)
    return chunks[..., slice(steps), slice(dims)]
