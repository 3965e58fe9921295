"""One nonconformity for the whole monitor, so that alpha is its false-alarm rate and not that of each detector.

Each detector's score is standardised by its own band; the number that is compared with the threshold is the largest
over the detectors. An alarm in an episode is a step above the threshold, so the episode's nonconformity is the maximum
over its steps, and the threshold is an order statistic of that maximum over calibration episodes. (An OR of bands that
hold alpha each has no such rate.)

Two variants are kept. ``varying`` has a band over the steps of the episode. ``constant`` does not know the step: it is
for the rest of an episode in which a human intervened, where the step no longer says how far the task is; alpha is not
guaranteed there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.artefact import field
from vla_uq.calibration.bounds import order_rank, realised_bound
from vla_uq.calibration.functional import FLOOR, FRACTION, Floats, Modulation
from vla_uq.calibration.methods import FUNCTIONAL, METHODS, Calibration, prepare
from vla_uq.calibration.variant import Scores, Variant
from vla_uq.errors import InputError


@dataclass(frozen=True, eq=False)
class Nonconformity:
    """The monitor's decision: detectors' scores in, one number and its threshold out.

    :param n_fit: episodes that the bands were fitted to.
    :param n_calibration: episodes that the thresholds were calibrated on; none of the former, unless ``method`` says
        otherwise.
    :param method: one of :data:`vla_uq.calibration.methods.METHODS`, where it says what alpha means for each.
    """

    varying: Variant
    constant: Variant
    alpha: float
    n_fit: int
    n_calibration: int
    method: str = FUNCTIONAL

    @classmethod
    def fit(
        cls,
        episodes: Sequence[Scores],
        alpha: float,
        seed: int,
        *,
        method: str = FUNCTIONAL,
        fraction: float = FRACTION,
        floor: float = FLOOR,
    ) -> Nonconformity:
        """Fit bands and thresholds to nominal successes.

        :param episodes: for each episode, detector name to its scores (T,).
        :param fraction: share of the episodes for the bands, where the method splits; the rest is for the thresholds.
        :raises InputError: when there are too few episodes, naming the smallest alpha that they allow, when episodes
            differ in their detectors, or a score is not finite.
        """
        calibrations = prepare(method, episodes, alpha, seed, fraction=fraction, floor=floor)
        return cls.calibrate(calibrations, calibrations[0].members, alpha, method)

    @classmethod
    def calibrate(
        cls, calibrations: tuple[Calibration, Calibration], members: Sequence[int], alpha: float, method: str
    ) -> Nonconformity:
        """Calibrate fitted bands on some of the episodes that can.

        :param calibrations: of the varying and of the constant variant, see :func:`prepare`.
        :raises InputError: when the members are too few for alpha.
        """
        varying, constant = (c.variant(members, alpha) for c in calibrations)
        return cls(varying, constant, alpha, calibrations[0].n_fit, len(members), method)

    @property
    def detectors(self) -> tuple[str, ...]:
        return tuple(self.varying.modulations)

    @property
    def realised_bound(self) -> float:
        """False-alarm rate that this calibration stays below with 95 % confidence (it is alpha only on average).

        A theorem for methods that split, an approximation for ``cross``.
        """
        return realised_bound(self.n_calibration, self.alpha)

    def threshold(self, *, constant: bool = False) -> float:
        """What :meth:`value` is compared with; a step passes when it is not above."""
        return self._variant(constant).threshold

    def value(self, step: int, scores: Mapping[str, float], *, constant: bool = False) -> float:
        """The nonconformity of one step, from the detectors' scores of that step.

        :param step: inferences since the episode began, from 0; beyond the longest fitted curve its last value holds.
        :returns: NaN when any score is not finite.
        :raises InputError: when a detector's score is missing or is one too many.
        """
        self._check_names(scores)
        return float(self._variant(constant).combine({n: np.array([s]) for n, s in scores.items()}, step)[0])

    def curve(self, scores: Scores, *, constant: bool = False) -> Floats:
        """:meth:`value` of all steps of an episode, (T,).

        :raises InputError: as :meth:`value`.
        """
        self._check_names(scores)
        return self._variant(constant).combine(scores)

    def alarm_step(self, scores: Scores, *, constant: bool = False) -> int | None:
        """First step of an episode that does not pass, or None."""
        passes = self.curve(scores, constant=constant) <= self.threshold(constant=constant)
        return None if passes.all() else int(np.argmin(passes))

    def detector_thresholds(self, step: int, *, constant: bool = False) -> dict[str, float]:
        """For display: the score of each detector at which it alone would reach the threshold at this step."""
        return self._variant(constant).levels(step)

    def state(self) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
        """Named tensors and JSON values, for the bundle."""
        tensors, thresholds = {}, {}
        for kind, variant in (("varying", self.varying), ("constant", self.constant)):
            thresholds[kind] = variant.threshold
            for name, m in variant.modulations.items():
                tensors[f"{kind}/{name}/mean"], tensors[f"{kind}/{name}/scale"] = m.mean, m.scale
        config: dict[str, Any] = {
            "alpha": self.alpha,
            "n_fit": self.n_fit,
            "n_calibration": self.n_calibration,
            "detectors": list(self.detectors),
            "thresholds": thresholds,
        }
        # Bundles from before there was a choice say nothing of it, and keep their digest.
        return tensors, config if self.method == FUNCTIONAL else {**config, "method": self.method}

    @classmethod
    def from_state(
        cls, tensors: Mapping[str, NDArray[Any]], config: Mapping[str, Any], where: str = "nonconformity"
    ) -> Nonconformity:
        """The inverse of :meth:`state`.

        :raises InputError: naming the field that is missing or wrong.
        """
        names = field(config, "detectors", list, where)
        thresholds = field(config, "thresholds", dict, where)
        variants = {}
        for kind in ("varying", "constant"):
            modulations = {str(name): _modulation(tensors, f"{kind}/{name}", where) for name in names}
            variants[kind] = Variant(modulations, field(thresholds, kind, float, f"{where}: thresholds"))
        alpha, n = field(config, "alpha", float, where), field(config, "n_calibration", int, where)
        order_rank(n, alpha)
        method = field({"method": FUNCTIONAL, **config}, "method", str, where)
        if method not in METHODS:
            raise InputError("is unknown", where=f"{where}: method", expected=", ".join(METHODS), found=method)
        return cls(variants["varying"], variants["constant"], alpha, field(config, "n_fit", int, where), n, method)

    def _variant(self, constant: bool) -> Variant:
        return self.constant if constant else self.varying

    def _check_names(self, scores: Iterable[str]) -> None:
        if set(scores) != set(self.detectors):
            raise InputError(
                "scores are not those of the calibrated detectors",
                where="detectors",
                expected=", ".join(self.detectors),
                found=", ".join(scores) or "none",
            )


def _modulation(tensors: Mapping[str, NDArray[Any]], name: str, where: str) -> Modulation:
    parts = []
    for part in ("mean", "scale"):
        value = tensors.get(f"{name}/{part}")
        if value is None or value.ndim != 1 or len(value) < 1 or not np.isfinite(value).all():
            raise InputError("is missing or wrong", where=f"{where}: {name}/{part}", expected="finite, (T,)")
        parts.append(np.asarray(value, np.float64))
    if len(parts[0]) != len(parts[1]) or not (parts[1] > 0).all():
        raise InputError("is wrong", where=f"{where}: {name}/scale", expected=f"positive, ({len(parts[0])},)")
    return Modulation(*parts)
