"""What a calibration comes to for the monitor that runs: a band for each detector and one threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vla_uq.calibration.functional import Curve, Floats, Modulation
from vla_uq.errors import InputError

Scores = Mapping[str, Curve]
"""Detector name to its scores of an episode's steps, (T,)."""
Modulations = Mapping[str, Modulation]


@dataclass(frozen=True, eq=False)
class Variant:
    """A modulation for each detector, and the threshold of their maximum."""

    modulations: Modulations
    threshold: float

    def combine(self, scores: Scores, first: int = 0) -> Floats:
        """Largest standardised score of each of the consecutive steps that begin at ``first``, (T,).

        NaN where any score is not finite: such a step passes nowhere.

        :raises InputError: when the detectors' curves differ in length.
        """
        check_lengths(scores)
        parts = np.stack([m.standardise(scores[name], first) for name, m in self.modulations.items()])
        return np.where(np.isfinite(parts).all(axis=0), parts.max(axis=0), np.nan)

    def levels(self, step: int) -> dict[str, float]:
        """The score of each detector at which it alone would reach the threshold at this step."""
        return {name: m.level(self.threshold, step) for name, m in self.modulations.items()}


def check_lengths(scores: Scores) -> None:
    """:raises InputError: when the detectors' curves differ in length."""
    lengths = {name: len(curve) for name, curve in scores.items()}
    if len(set(lengths.values())) > 1:
        raise InputError("detectors scored different numbers of steps", where="scores", found=lengths)
