"""Exchangeable score curves to calibrate and to test with: what a false-alarm rate must not depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_uq.calibration.variant import Scores, Variant

Floats = NDArray[np.float64]
STEPS = 40


@dataclass(frozen=True, eq=False)
class Sample:
    """Episodes, drawn independently of each other.

    :param scores: detector name to its scores, (n, STEPS); what is beyond an episode's length is not part of it.
    :param lengths: (n,).
    """

    scores: Mapping[str, Floats]
    lengths: NDArray[np.int_]

    def episodes(self) -> list[Scores]:
        """One mapping an episode, cut to its length."""
        return [{name: v[i, :size] for name, v in self.scores.items()} for i, size in enumerate(self.lengths)]

    def alarms(self, upper: Mapping[str, Floats]) -> float:
        """Share of the episodes of which a step is above its detector's band, (STEPS,)."""
        own = np.arange(STEPS) < self.lengths[:, None]
        above = [((self.scores[name] > band) & own).any(axis=1) for name, band in upper.items()]
        return float(np.any(above, axis=0).mean())

    def part(self, first: int, last: int) -> Sample:
        """Some of the episodes."""
        return Sample({name: v[first:last] for name, v in self.scores.items()}, self.lengths[first:last])

    def scaled(self, factor: float) -> Sample:
        """The episodes of a task whose scores are larger."""
        return Sample({name: factor * v for name, v in self.scores.items()}, self.lengths)


def bands(variant: Variant) -> dict[str, Floats]:
    """The upper edge of each detector's band, (STEPS,)."""
    steps = [variant.levels(step) for step in range(STEPS)]
    return {name: np.array([level[name] for level in steps]) for name in variant.modulations}


def _walk(rng: np.random.Generator, n: int) -> Sample:
    return _even(np.cumsum(rng.normal(0.2 + 0.1 * rng.normal(size=(n, 1)), 1, (n, STEPS)), axis=1))


def _saturating(rng: np.random.Generator, n: int) -> Sample:
    """Between 0 and 1, and close to either end for most of an episode; the logits are cut before doubles are."""
    logits = 2 * rng.normal(size=(n, 1)) + np.cumsum(rng.normal(0.2, 1, (n, STEPS)), axis=1)
    return _even(1 / (1 + np.exp(-np.clip(logits, -30, 30))))


def _accumulating(rng: np.random.Generator, n: int) -> Sample:
    return _even(np.cumsum(np.exp(0.5 * rng.normal(size=(n, 1)) + 0.7 * rng.normal(size=(n, STEPS))), axis=1))


def _widening(rng: np.random.Generator, n: int) -> Sample:
    """The spread grows 250 times over the episode."""
    return _even((rng.normal(size=(n, 1)) + rng.normal(size=(n, STEPS))) * np.geomspace(0.02, 5, STEPS))


def _ragged(rng: np.random.Generator, n: int) -> Sample:
    """Episodes of 10 to 40 steps; the worse ones are longer, and few are long enough to say what is normal there."""
    level = rng.normal(size=n)
    lengths = np.clip(np.round(18 + 6 * level + 4 * rng.normal(size=n)), 10, STEPS).astype(int)
    return Sample({"score": level[:, None] + np.cumsum(rng.normal(0.1, 0.5, (n, STEPS)), axis=1)}, lengths)


def _pair(rng: np.random.Generator, n: int) -> Sample:
    """Two detectors of one monitor, on scales of their own."""
    one, other = _widening(rng, n), _saturating(rng, n)
    return Sample({"widening": one.scores["score"], "saturating": other.scores["score"]}, one.lengths)


def _even(values: Floats) -> Sample:
    return Sample({"score": values}, np.full(len(values), STEPS))


SHAPES: Mapping[str, Callable[[np.random.Generator, int], Sample]] = {
    "drifting walk": _walk,
    "saturating": _saturating,
    "accumulating": _accumulating,
    "widening": _widening,
    "ragged": _ragged,
    "two detectors": _pair,
}
