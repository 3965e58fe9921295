"""How bands and thresholds come from episodes: three methods behind one interface.

``functional``: some episodes fit the bands, the others calibrate the threshold. The false-alarm rate is at most alpha
on average over calibrations (exchangeable episodes, no other assumption), and one calibration's rate stays below
:func:`vla_uq.calibration.bounds.realised_bound` with 95 % confidence.

``cross``: every episode does both, see :class:`CrossCalibration`. More episodes calibrate, so a smaller alpha is
possible; what is proved is a false-alarm rate of at most 2 alpha, what is measured is at most alpha.

``max_so_far``: no band over the steps; the episode's largest score against one number. With one detector nothing is
fitted and every episode calibrates, with the guarantee of ``functional``; several detectors are put on one scale by
some of the episodes first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vla_uq.calibration.bounds import order_rank
from vla_uq.calibration.functional import Floats, Modulation, fitting_size, split
from vla_uq.calibration.variant import Modulations, Scores, Variant, check_lengths
from vla_uq.errors import InputError

FUNCTIONAL, CROSS, MAX_SO_FAR = METHODS = ("functional", "cross", "max_so_far")


class Calibration(Protocol):
    """Fitted bands, and the episodes that can calibrate a threshold for them."""

    @property
    def members(self) -> Sequence[int]:
        """Indices of those episodes."""

    @property
    def n_fit(self) -> int:
        """Episodes behind the bands that an episode of ``members`` is measured with."""

    def variant(self, members: Sequence[int], alpha: float) -> Variant:
        """Calibrate on some or all of the members.

        :raises InputError: when they are too few for alpha.
        """


@dataclass(frozen=True, eq=False)
class SplitCalibration:
    """Bands from some episodes, and the largest standardised score of each other episode."""

    modulations: Modulations
    peaks: Mapping[int, float]
    n_fit: int

    @classmethod
    def fit(
        cls,
        episodes: Sequence[Scores],
        parts: tuple[Sequence[int], Sequence[int]],
        alpha: float,
        *,
        floor: float,
        constant: bool,
    ) -> SplitCalibration:
        """:param parts: indices of the episodes that fit, and of those that calibrate; without any to fit, scores
        stay as they are.
        """
        fitting, held_out = parts
        if fitting:
            modulations = {
                name: Modulation.fit([episodes[i][name] for i in fitting], alpha, floor=floor, constant=constant)
                for name in episodes[0]
            }
        else:
            modulations = {name: Modulation(np.zeros(1), np.ones(1)) for name in episodes[0]}
        measure = Variant(modulations, math.inf)
        peaks = {i: float(measure.combine(episodes[i]).max()) for i in held_out}
        if not all(map(math.isfinite, peaks.values())):
            raise InputError("a score is not finite", where="calibration part")
        return cls(modulations, peaks, len(fitting))

    @property
    def members(self) -> Sequence[int]:
        return list(self.peaks)

    def variant(self, members: Sequence[int], alpha: float) -> Variant:
        rank = order_rank(len(members), alpha)
        return Variant(self.modulations, sorted(self.peaks[i] for i in members)[rank - 1])


@dataclass(frozen=True, eq=False)
class CrossCalibration:
    """Jackknife+ bands (Barber et al. 2021, arXiv 1905.02928, adapted to one-sided bands over time).

    Each of the n episodes is measured with bands fitted to the n - 1 others: peak_i is its largest standardised score.
    That gives one upper edge an episode and step, mean_-i(t) + peak_i scale_-i(t), and the band is their order
    statistic of rank ceil((n + 1)(1 - alpha)) at each step. All folds thus become one band when it is calibrated; the
    monitor that runs knows nothing of them. No episode is spent on fitting alone, and no seed is drawn.

    What holds: a new episode that rises above the band somewhere is above that many edges there, so measured with the
    bands behind those edges it is more extreme than their episodes; Barber's tournament argument then bounds the
    false-alarm rate by 2 alpha, for exchangeable episodes and any scores. That it is at most alpha, as for the split,
    is what Monte Carlo finds (``python -m benchmarks.coverage``) and no theorem. Neither is the bound on the realised
    rate, which is the split's for n episodes: there, too, 5 % of the calibrations exceed it in the mean over shapes.

    :param edges: detector name to means and scales, (n, T) each, row i fitted without episode i.
    :param widths: detector name to the scale of all episodes together, (T,): the unit of the nonconformity.
    :param peaks: (n,).
    """

    edges: Mapping[str, tuple[Floats, Floats]]
    widths: Mapping[str, Floats]
    peaks: Floats

    @classmethod
    def fit(cls, episodes: Sequence[Scores], alpha: float, *, floor: float, constant: bool) -> CrossCalibration:
        """:raises InputError: with fewer than 3 episodes, or a score that is not finite."""
        edges, widths, peaks = {}, {}, np.full(len(episodes), -np.inf)
        for name in episodes[0]:
            curves = [e[name] for e in episodes]
            rest = Modulation.leave_one_out(curves, alpha, floor=floor, constant=constant)
            worst = [float(m.standardise(c).max()) for m, c in zip(rest, curves, strict=True)]
            peaks = np.maximum(peaks, worst)
            edges[name] = np.stack([m.mean for m in rest]), np.stack([m.scale for m in rest])
            widths[name] = Modulation.fit(curves, alpha, floor=floor, constant=constant).scale
        return cls(edges, widths, peaks)

    @property
    def members(self) -> Sequence[int]:
        return range(len(self.peaks))

    @property
    def n_fit(self) -> int:
        return len(self.peaks) - 1

    def variant(self, members: Sequence[int], alpha: float) -> Variant:
        rank, chosen = order_rank(len(members), alpha), list(members)
        peaks = self.peaks[chosen]
        threshold = float(np.sort(peaks)[rank - 1])
        modulations = {}
        for name, (means, scales) in self.edges.items():
            edges = means[chosen] + peaks[:, None] * scales[chosen]
            upper = np.partition(edges, rank - 1, axis=0)[rank - 1]
            # Equal scores must pass, as they do without this detour: hence the slack, far below float32.
            scale = self.widths[name]
            modulations[name] = Modulation(upper + 1e-9 * scale - threshold * scale, scale)
        return Variant(modulations, threshold)


def prepare(
    method: str,
    episodes: Sequence[Scores],
    alpha: float,
    seed: int,
    *,
    fraction: float,
    floor: float,
    groups: Sequence[str] | None = None,
) -> tuple[Calibration, Calibration]:
    """The calibration that knows the step, and the one that does not.

    :param fraction: share of the episodes that fit bands, where a method splits.
    :param groups: of each episode; a split takes its share from each group.
    :raises InputError: on an unknown method, too few episodes, episodes that differ in their detectors, or a score
        that is not finite.
    """
    if method not in METHODS:
        raise InputError("unknown method", where="method", expected=", ".join(METHODS), found=method)
    names = list(episodes[0]) if episodes else []
    if not names or any(set(e) != set(names) for e in episodes):
        raise InputError("episodes differ in their detectors", where="calibration", expected=", ".join(names))
    for episode in episodes:
        check_lengths(episode)
    if method == CROSS:
        order_rank(len(episodes), alpha)
        varying, constant = (CrossCalibration.fit(episodes, alpha, floor=floor, constant=c) for c in (False, True))
        return varying, constant
    alone = method == MAX_SO_FAR and len(names) == 1
    parts = ([], list(range(len(episodes)))) if alone else _parts(len(episodes), seed, fraction, groups)
    order_rank(len(parts[1]), alpha)
    still = SplitCalibration.fit(episodes, parts, alpha, floor=floor, constant=True)
    if method == MAX_SO_FAR:
        return still, still
    return SplitCalibration.fit(episodes, parts, alpha, floor=floor, constant=False), still


def calibrating(method: str, n: int, detectors: int, fraction: float) -> int:
    """How many of n episodes calibrate the threshold."""
    if method == CROSS or (method == MAX_SO_FAR and detectors == 1):
        return n
    return n - fitting_size(n, fraction) if n > 2 else 0


def _parts(n: int, seed: int, fraction: float, groups: Sequence[str] | None) -> tuple[list[int], list[int]]:
    if groups is None:
        return split(n, seed, fraction)
    fitting: list[int] = []
    held_out: list[int] = []
    for group in sorted(set(groups)):
        members = [i for i in range(n) if groups[i] == group]
        if len(members) < 3:
            held_out += members
            continue
        first, second = split(len(members), seed, fraction)
        fitting += [members[i] for i in first]
        held_out += [members[i] for i in second]
    return fitting, held_out
