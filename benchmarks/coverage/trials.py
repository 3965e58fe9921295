"""One calibration after the other, and how often each alarms on new episodes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from benchmarks.coverage.curves import STEPS, Floats, Sample, bands
from vla_uq.calibration import published
from vla_uq.calibration.bounds import realised_bound
from vla_uq.calibration.functional import split
from vla_uq.calibration.methods import CROSS, FUNCTIONAL, MAX_SO_FAR
from vla_uq.calibration.mondrian import fit_per_task
from vla_uq.calibration.nonconformity import Nonconformity
from vla_uq.errors import InputError

ALPHAS = (0.05, 0.1, 0.2)
OWN = (FUNCTIONAL, CROSS, MAX_SO_FAR, "per task, functional", "per task, cross")
POOLED = "one threshold for all tasks"
REFERENCES = ("published band", "published split", "FIPER constant", POOLED)
"""For comparison; no claim of ours."""
HARD = 3.0
"""How much larger the scores of the harder of two tasks are."""
Key = tuple[str, float]
"""Method and alpha."""


@dataclass
class Tally:
    """The calibrations of one cell.

    :param fresh: new episodes that each is tested on.
    :param n: episodes that calibrate the threshold; of the harder task, where tasks have their own.
    :param rates: of false alarms of each calibration, on new episodes; of the harder task's, as above.
    :param above: calibrations whose rate is above the bound that 95 % of them keep.
    :param refused: why there is no threshold.
    """

    fresh: int
    n: int = 0
    rates: list[float] = field(default_factory=list)
    above: int = 0
    refused: str = ""

    def add(self, n: int, alpha: float, rate: float, exact: bool = True) -> None:
        self.n = n
        self.rates.append(rate)
        self.above += exact and rate > realised_bound(n, alpha)

    @property
    def rate(self) -> float:
        return float(np.mean(self.rates))

    def error(self, alpha: float) -> float:
        """Standard error of :attr:`rate`.

        The larger of two: the scatter of the calibrations found, which few calibrations with few alarms understate,
        and what theory says of a rate of alpha: a Beta variate for each calibration, then a binomial one.
        """
        variance = alpha * (1 - alpha)
        expected = variance / (self.n + 2) + variance / self.fresh
        return math.sqrt(max(float(np.var(self.rates, ddof=1)), expected) / len(self.rates))


def play(
    draw: Callable[[np.random.Generator, int], Sample],
    n: int,
    repetitions: int,
    fresh: int,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> Mapping[Key, Tally]:
    """Calibrate on ``n`` new successes (of each task) and test on ``fresh`` others, again and again.

    Every method sees the same episodes.
    """
    rng = np.random.default_rng(seed)
    found: dict[Key, Tally] = defaultdict(lambda: Tally(fresh))
    for repetition in range(repetitions):
        easy, hard, new = draw(rng, n), draw(rng, n).scaled(HARD), draw(rng, fresh)
        for alpha in ALPHAS:
            _own(found, easy, new, alpha, repetition)
            _per_task(found, easy, hard, new.scaled(HARD), alpha, repetition)
            if len(easy.scores) == 1:
                _references(found, easy, new, alpha, repetition)
        advance()
    return found


def _own(found: dict[Key, Tally], old: Sample, new: Sample, alpha: float, seed: int) -> None:
    for method in (FUNCTIONAL, CROSS, MAX_SO_FAR):
        tally = found[method, alpha]
        if tally.refused:
            continue
        try:
            monitor = Nonconformity.fit(old.episodes(), alpha, seed, method=method)
        except InputError as error:
            tally.refused = _shortly(error)
        else:
            tally.add(monitor.n_calibration, alpha, new.alarms(bands(monitor.varying)))


def _per_task(found: dict[Key, Tally], easy: Sample, hard: Sample, new: Sample, alpha: float, seed: int) -> None:
    tasks = ["easy"] * len(easy.lengths) + ["hard"] * len(hard.lengths)
    episodes = easy.episodes() + hard.episodes()
    for method in (FUNCTIONAL, CROSS):
        tally = found[f"per task, {method}", alpha]
        if tally.refused:
            continue
        try:
            pooled, per_task = fit_per_task(episodes, tasks, alpha, seed, method=method)
        except InputError as error:
            tally.refused = _shortly(error)
            continue
        own = per_task.own["hard"]
        tally.add(own.n_calibration, alpha, new.alarms(bands(own.varying)))
        if method == FUNCTIONAL:
            found[POOLED, alpha].add(pooled.n_calibration, alpha, new.alarms(bands(pooled.varying)), exact=False)


def _references(found: dict[Key, Tally], old: Sample, new: Sample, alpha: float, seed: int) -> None:
    curves = [episode["score"] for episode in old.episodes()]
    peaks = [float(curve.max()) for curve in curves]
    fitting, held_out = split(len(curves), seed, 0.3)
    band = published.band([curves[i] for i in fitting], [curves[i] for i in held_out], alpha)
    n = len(curves)
    for name, calibrated, upper in (
        ("published band", len(held_out), np.append(band, np.full(STEPS - len(band), band[-1]))),
        ("published split", n, np.full(STEPS, published.split(peaks, alpha))),
        ("FIPER constant", n, np.full(STEPS, published.constant(peaks, alpha))),
    ):
        found[name, alpha].add(calibrated, alpha, _rate(new, upper), exact=False)


def _rate(new: Sample, upper: Floats) -> float:
    return new.alarms({"score": upper})


def _shortly(error: InputError) -> str:
    return f"refused: {error.found}"
