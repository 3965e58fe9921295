"""FIPER: two scores that see different things, an unusual observation and an undecided policy, as one detector.

Each score is divided by its own threshold. ``and`` takes the smaller of the two, so that it is above 1 only where both
are, ``or`` the larger.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from vla_uq.artefact import field
from vla_uq.calibration.bounds import order_rank
from vla_uq.detectors.ace import Ace
from vla_uq.detectors.base import Detector, Progress, Tensors
from vla_uq.detectors.rnd_oe import RndOe
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout

Quantile = Literal["order_statistic", "interpolated"]
QUANTILES: tuple[Quantile, ...] = get_args(Quantile)
C = TypeVar("C", bound="Combination")


class Combination(ABC):
    """Two detectors, each relative to its own threshold.

    Fitting takes the successes only: half of them fit the two detectors, the other half their thresholds, at the
    1 - alpha quantile of an episode's largest score.

    :param aggregator: of both scores, before their thresholds; ``sliding_mean:w`` is FIPER's window (which sums, and
        so has lower scores in an episode's first w - 1 steps).
    :param alpha: share of successes in which each score alone may exceed its threshold.
    :param quantile: ``order_statistic`` holds alpha in finite samples and refuses too few of them; ``interpolated`` is
        the published one, which does neither.
    :param seed: of the halves.
    :param parts: the two detectors, instead of RND-OE and ACE as they come.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    reduce: ClassVar[np.ufunc]

    def __init__(
        self,
        aggregator: str = "none",
        alpha: float = 0.1,
        quantile: str = "order_statistic",
        seed: int = 0,
        parts: Sequence[Detector] | None = None,
    ) -> None:
        if quantile not in QUANTILES:
            raise InputError("unknown quantile", where="quantile", expected=", ".join(QUANTILES), found=quantile)
        if not 0 < alpha < 1:
            raise InputError("must lie inside (0, 1)", where="alpha", found=alpha)
        self.alpha, self.quantile, self.seed = alpha, quantile, seed
        self.parts = (RndOe(aggregator), Ace(aggregator)) if parts is None else tuple(parts)
        self._thresholds: Mapping[str, float] | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The tensors of both."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.needs))

    def fit(self, rollouts: Iterable[Rollout], progress: Progress | None = None) -> None:
        """Fit both detectors and their thresholds.

        :raises InputError: when there are too few successes, saying how many are needed, or as a detector's own.
        """
        successes = [rollout for rollout in rollouts if rollout.meta.success]
        if len(successes) < 2:
            raise InputError(
                "too few successes", where=f"{self.name}: rollouts", expected="2 or more", found=len(successes)
            )
        order = np.random.default_rng(self.seed).permutation(len(successes)).tolist()
        half = (len(successes) + 1) // 2
        fitting, held_out = ([successes[i] for i in part] for part in (order[:half], order[half:]))
        thresholds = {}
        for part in self.parts:
            part.fit(fitting, progress)
            try:
                thresholds[part.name] = self._threshold([_largest(part, rollout) for rollout in held_out])
            except InputError as error:
                raise error.at(f"{self.name}: {part.name}") from error
        self._thresholds = thresholds

    def _threshold(self, values: Sequence[float]) -> float:
        if self.quantile == "order_statistic":
            value = sorted(values)[order_rank(len(values), self.alpha) - 1]
        else:
            value = float(np.quantile(values, 1 - self.alpha))
        if not value > 0:
            raise InputError("threshold is not positive", where="score", found=value)
        return value

    def reset(self) -> None:
        """Begin an episode."""
        for part in self.parts:
            part.reset()

    def update(self, tensors: Tensors) -> float:
        """See :meth:`Detector.update`; above 1 is FIPER's alarm."""
        thresholds = self._fitted()
        return float(self.reduce.reduce([part.update(tensors) / thresholds[part.name] for part in self.parts]))

    def score(self, rollout: Rollout) -> NDArray[np.float64]:
        """See :meth:`Detector.score`."""
        thresholds = self._fitted()
        return self.reduce.reduce([part.score(rollout) / thresholds[part.name] for part in self.parts])

    def _fitted(self) -> Mapping[str, float]:
        if self._thresholds is None:
            raise InputError("is not fitted", where=self.name)
        return self._thresholds

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See :meth:`Detector.state`.

        :raises InputError: before :meth:`fit`.
        """
        tensors: dict[str, NDArray[Any]] = {}
        parts: dict[str, Any] = {}
        config = {
            "version": self.version,
            "alpha": self.alpha,
            "quantile": self.quantile,
            "seed": self.seed,
            "thresholds": dict(self._fitted()),
            "parts": parts,
        }
        for part in self.parts:
            own, parts[part.name] = part.state()
            tensors.update({f"{part.name}/{name}": value for name, value in own.items()})
        return tensors, config

    @classmethod
    def from_state(cls: type[C], tensors: Tensors, config: Mapping[str, Any], where: str = "") -> C:
        """See :meth:`Detector.from_state`."""
        from vla_uq.detectors import detector_from_state  # the table of all detectors has this one too

        configs = field(config, "parts", dict, where)
        if len(configs) != 2:
            raise InputError("is wrong", where=f"{where}: parts", expected="2 detectors", found=", ".join(configs))
        parts = []
        for name in configs:
            own = {n.removeprefix(f"{name}/"): v for n, v in tensors.items() if n.startswith(f"{name}/")}
            own_config = field(configs, name, dict, f"{where}: parts")
            parts.append(detector_from_state(name, own, own_config, f"{where}: parts: {name}"))
        detector = cls(
            alpha=field(config, "alpha", float, where),
            quantile=field(config, "quantile", str, where),
            seed=field(config, "seed", int, where),
            parts=parts,
        )
        thresholds = field(config, "thresholds", dict, where)
        detector._thresholds = {name: field(thresholds, name, float, f"{where}: thresholds") for name in configs}
        if not all(value > 0 for value in detector._thresholds.values()):
            raise InputError("is wrong", where=f"{where}: thresholds", expected="positive", found=thresholds)
        return detector


class RndOeAndAce(Combination):
    """FIPER's alarm: the observation is unusual and the policy is undecided."""

    name: ClassVar[str] = "rnd_oe_and_ace"
    reduce: ClassVar[np.ufunc] = np.minimum


class RndOeOrAce(Combination):
    """Either of the two."""

    name: ClassVar[str] = "rnd_oe_or_ace"
    reduce: ClassVar[np.ufunc] = np.maximum


def _largest(part: Detector, rollout: Rollout) -> float:
    value = float(part.score(rollout).max())
    if not np.isfinite(value):
        raise InputError("score is not finite", where=rollout.meta.episode_id)
    return value
