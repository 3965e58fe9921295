"""The functional conformal band (SAFE, arXiv 2506.09937 sec. 4; FAIL-Detect), with a finite-sample guarantee.

What differs from the published code: the threshold is the order statistic of rank ceil((n + 1)(1 - alpha)) instead of
an interpolated quantile, so that the false-alarm rate is at most alpha; the modulation has a relative floor; the split
has a seed of its own; too few curves are refused; and an episode's nonconformity is the maximum over its own steps,
which is the statistic that runs (the published code pads all curves to a common length first: see :func:`align`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.calibration.bounds import ceil_rank, order_rank
from vla_uq.errors import InputError

Floats = NDArray[np.float64]
Curve = NDArray[np.floating[Any]]

FRACTION = 0.3
"""Share of the curves that fit a band; the others calibrate it."""
FLOOR = 0.05
"""Smallest modulation, as a share of the curve's largest: a step at which the few fitting curves happen to agree (a
saturated sigmoid, a score that starts at 0) must not alarm on noise."""


def align(curves: Sequence[Curve], length: int | None = None) -> Floats:
    """Curves of different lengths as one array (n, T): the shorter ones go on with their last value.

    :param length: T; the longest curve if not given. Longer curves are cut.
    """
    size = max(len(c) for c in curves) if length is None else length
    steps = np.arange(size)
    return np.stack([np.asarray(c, np.float64)[np.minimum(steps, len(c) - 1)] for c in curves])


@dataclass(frozen=True, eq=False)
class Modulation:
    """The centre and the width of a score's curves over an episode's steps.

    :param mean: (T,) centre; beyond T the last value holds. T = 1 is constant in time.
    :param scale: (T,) width, positive.
    """

    mean: Floats
    scale: Floats

    @classmethod
    def fit(cls, curves: Sequence[Curve], alpha: float, *, floor: float = FLOOR, constant: bool = False) -> Modulation:
        """Fit to curves: the mean, and the envelope of the curves that deviate least.

        Left out of the envelope are those whose largest deviation is among the alpha worst.

        :param constant: one centre and one width for all steps.
        :raises InputError: with fewer than 2 curves, or values that are not finite.
        """
        check_curves(curves, 2, "fitting")
        values, own = align(curves), _own(curves)
        mean = np.array([values[own].mean()]) if constant else values.mean(axis=0)
        return cls._around(mean, values, ceil_rank(len(curves), alpha), floor)

    @classmethod
    def leave_one_out(
        cls, curves: Sequence[Curve], alpha: float, *, floor: float = FLOOR, constant: bool = False
    ) -> list[Modulation]:
        """For each curve the fit to all others.

        :raises InputError: with fewer than 3 curves, or values that are not finite.
        """
        check_curves(curves, 3, "calibration")
        values, own = align(curves), _own(curves)
        if constant:
            sums = _sums_of_others(np.where(own, values, 0).sum(axis=1, keepdims=True))
            means = sums / _sums_of_others(own.sum(axis=1, keepdims=True))
        else:
            means = _sums_of_others(values) / (len(curves) - 1)
        rank = ceil_rank(len(curves) - 1, alpha)
        return [cls._around(mean, values, rank, floor, without=i) for i, mean in enumerate(means)]

    @classmethod
    def _around(cls, mean: Floats, values: Floats, rank: int, floor: float, without: int | None = None) -> Modulation:
        """The envelope of the ``rank`` curves (all, if there are fewer) that deviate least from a given centre.

        :param values: (n, T), aligned.
        :param without: a row that is not asked.
        """
        deviations = np.abs(values - mean)
        worst = deviations.max(axis=1)
        if without is not None:
            worst[without] = np.inf
        rank = min(rank, len(worst) - (without is not None))
        kept = deviations[worst <= np.partition(worst, rank - 1)[rank - 1]]
        envelope = kept.max(axis=0) if len(mean) > 1 else np.array([kept.max()])
        # Without any spread the scale is the smallest one at which float32 scores still differ.
        least = max(floor * envelope.max(), 1e-6 * np.abs(mean).max(), 1e-8)
        return cls(mean, np.maximum(envelope, least))

    def standardise(self, curve: Curve, first: int = 0) -> Floats:
        """(score - mean) / scale of the consecutive steps that begin at ``first``; one-sided, NaN stays NaN."""
        steps = np.minimum(first + np.arange(len(curve)), len(self.mean) - 1)
        return (np.asarray(curve, np.float64) - self.mean[steps]) / self.scale[steps]

    def level(self, factor: float, step: int) -> float:
        """The score at which the standardised score is ``factor``."""
        at = min(step, len(self.mean) - 1)
        return float(self.mean[at] + factor * self.scale[at])


@dataclass(frozen=True, eq=False)
class FunctionalBand:
    """One detector's band u(t) = mean(t) + factor * scale(t); a step passes at score <= u(t).

    :param n: curves that the factor was calibrated on.
    """

    modulation: Modulation
    factor: float
    alpha: float
    n: int

    @classmethod
    def calibrate(cls, modulation: Modulation, curves: Sequence[Curve], alpha: float) -> FunctionalBand:
        """Calibrate the factor on curves that the modulation was not fitted to.

        :raises InputError: when there are too few, naming the smallest alpha that they allow, or values are not finite.
        """
        rank = order_rank(len(curves), alpha)
        check_curves(curves, 1, "calibration")
        worst = sorted(float(modulation.standardise(c).max()) for c in curves)
        return cls(modulation, worst[rank - 1], alpha, len(curves))

    @classmethod
    def fit(
        cls, curves: Sequence[Curve], alpha: float, seed: int, *, fraction: float = FRACTION, floor: float = FLOOR
    ) -> FunctionalBand:
        """Split the curves with the given seed, fit the modulation on ``fraction`` of them, calibrate on the rest.

        :raises InputError: as :meth:`calibrate`.
        """
        fitting, held_out = split(len(curves), seed, fraction)
        modulation = Modulation.fit([curves[i] for i in fitting], alpha, floor=floor)
        return cls.calibrate(modulation, [curves[i] for i in held_out], alpha)

    def upper(self, length: int | None = None) -> Floats:
        """u(t), (length,), as long as the modulation if not given."""
        steps = range(len(self.modulation.mean) if length is None else length)
        return np.array([self.modulation.level(self.factor, t) for t in steps])

    def passes(self, curve: Curve) -> NDArray[np.bool_]:
        """Per step: finite and not above the band."""
        value = self.modulation.standardise(curve)
        return np.isfinite(value) & (value <= self.factor)


def split(n: int, seed: int, fraction: float) -> tuple[list[int], list[int]]:
    """Indices for fitting and for calibration, from a seed of its own.

    :raises InputError: with fewer than 3 episodes: 2 to fit a spread, 1 to calibrate.
    """
    if n < 3:
        raise InputError("too few calibration episodes", where="calibration", expected="at least 3", found=n)
    order = np.random.default_rng(seed).permutation(n).tolist()
    cut = fitting_size(n, fraction)
    return order[:cut], order[cut:]


def fitting_size(n: int, fraction: float) -> int:
    """How many of n >= 3 episodes :func:`split` gives to fitting."""
    return min(max(2, int(fraction * n)), n - 1)


def check_curves(curves: Sequence[Curve], least: int, part: str) -> None:
    """Refuse what no band can be made from.

    :raises InputError: with fewer curves than ``least``, an empty one, or a value that is not finite.
    """
    if len(curves) < least or any(len(c) < 1 for c in curves):
        raise InputError(
            "too few curves", where=f"{part} part", expected=f"at least {least}, none empty", found=len(curves)
        )
    if not all(np.isfinite(c).all() for c in curves):
        raise InputError("a score is not finite", where=f"{part} part")


def _own(curves: Sequence[Curve]) -> NDArray[np.bool_]:
    """Which values of :func:`align` are the curves' own, (n, T)."""
    lengths = np.array([len(c) for c in curves])
    return np.asarray(np.arange(lengths.max()) < lengths[:, None])


def _sums_of_others(values: NDArray[Any]) -> NDArray[Any]:
    """For each row the sum of all other rows; not the total less the row, which one huge row would spoil."""
    others = np.zeros_like(values)
    others[1:] += np.cumsum(values, axis=0)[:-1]
    others[:-1] += np.cumsum(values[::-1], axis=0)[::-1][1:]
    return others
