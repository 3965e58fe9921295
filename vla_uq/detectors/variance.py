"""Variance of the sampled chunks as a failure detector: a policy that knows what to do says the same each time."""

from __future__ import annotations

from typing import ClassVar

from vla_uq.detectors.samples import SpreadDetector
from vla_uq.uncertainty.chunks import Chunks, Floats
from vla_uq.uncertainty.variance import chunk_variance


class TotalVariance(SpreadDetector):
    """Variance over draws, summed over all actions and columns of the chunk (sample consistency, arXiv 2506.09937).

    :param aggregator: running mean by default: a choice between two ways is made in few steps.
    """

    name: ClassVar[str] = "total_variance"
    part: ClassVar[str] = "all"

    def __init__(self, aggregator: str = "running_mean") -> None:
        super().__init__(aggregator)

    def measure(self, samples: Chunks) -> Floats:
        return chunk_variance(samples, self.part)


class TranslationVariance(TotalVariance):
    """The same of the first three columns."""

    name: ClassVar[str] = "translation_variance"
    part: ClassVar[str] = "translation"


class RotationVariance(TotalVariance):
    """The same of columns 3 to 5."""

    name: ClassVar[str] = "rotation_variance"
    part: ClassVar[str] = "rotation"


class GripperVariance(TotalVariance):
    """The same of the columns from 6 on."""

    name: ClassVar[str] = "gripper_variance"
    part: ClassVar[str] = "gripper"
