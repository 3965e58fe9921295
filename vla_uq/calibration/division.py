"""Which detectors a pile of episodes supports, which of the episodes train them, and which calibrate.

No episode does both. Nominal successes alone can calibrate; everything else can only teach.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vla_uq.calibration.bounds import needed_for_alpha
from vla_uq.calibration.consistency import all_shapes
from vla_uq.detectors import Detector, SafeMlp, SafeTraining, StacSingle, Vfd
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout, RolloutMeta

SHAPES_ONLY = frozenset(
    {
        *("vfd", "vfd_two_way", "action_l2", "decu", "decu_kl", "gu", "gu_jazbec"),
        *("stac", "stac_median", "stac_single", "cluster_entropy"),
        *("total_variance", "translation_variance", "rotation_variance", "gripper_variance"),
        *("token_max_prob", "token_avg_prob", "token_max_entropy", "token_avg_entropy", "perplexity"),
    }
)
"""Detectors whose fitting reads no values. Only they may be fitted to episodes that calibrate them: a detector that
learnt an episode scores it lower than a new one, and the threshold would be too low."""
LEAST_FAILURES = LEAST_SUCCESSES = 10
"""Fewer of either do not teach SAFE: its detector could not even be told from a useless one. At 10 and 10 an AUC of .8
has a standard error of .10 (Hanley and McNeil 1982), three of which lie between it and chance."""
TEACHING = 1 / 3
"""Share of the nominal successes that teach, where a detector learns from them."""


@dataclass(frozen=True, eq=False)
class Division:
    """:param why: for people and the bundle's provenance: one sentence a detector, kept or left out."""

    detectors: tuple[Detector, ...]
    training: tuple[Rollout, ...]
    calibration: tuple[Rollout, ...]
    why: tuple[str, ...]


def divide(
    episodes: Sequence[Rollout],
    alpha: float,
    seed: int,
    calibrating: Callable[[int, int], int],
    detectors: Sequence[Detector] | None = None,
) -> Division:
    """Choose detectors, unless they are given, and divide the episodes.

    The first is one that needs successes alone: VFD where the policy is an ensemble, else STAC-Single. SAFE-MLP joins
    as soon as there are enough failures to learn from, and enough successes to learn from and still to calibrate on.

    :param seed: of the division and of training.
    :param calibrating: of so many successes, scored by so many detectors, the number that calibrates the threshold.
    :raises InputError: when the episodes support no detector.
    """
    nominal = [r for r in episodes if calibrates(r.meta)]
    others = [r for r in episodes if not calibrates(r.meta)]
    taught, rest = _deal(nominal, seed)
    if detectors is not None:
        chosen, why = list(detectors), [f"{detector.name}: as asked for" for detector in detectors]
    else:
        chosen, why = _first(episodes)
        failures = sum(r.meta.success is False for r in episodes)
        missing = _missing(episodes, failures, len(taught), calibrating(len(rest), len(chosen) + 1), alpha)
        if missing:
            why.append(f"safe_mlp: left out: {missing}")
        else:
            chosen.append(SafeMlp(training=SafeTraining(seed=seed)))
            why.append(f"safe_mlp: learns from {failures} failures and {len(taught)} of {len(nominal)} successes")
        if not chosen:
            raise InputError("no detector fits these episodes", where="detectors", found="; ".join(why))
    if all(detector.name in SHAPES_ONLY for detector in chosen):
        return Division(tuple(chosen), (), tuple(nominal), tuple(why))
    return Division(tuple(chosen), (*others, *taught), tuple(rest), tuple(why))


def calibrates(meta: RolloutMeta) -> bool:
    """A nominal success."""
    return meta.nominal and meta.success is True


def _first(episodes: Sequence[Rollout]) -> tuple[list[Detector], list[str]]:
    shapes = [all_shapes(r) for r in episodes]
    # velocities: (T, actor, member, ...)
    if all("velocities" in s and s["velocities"][2] > 1 for s in shapes):
        return [Vfd()], ["vfd: needs successes alone"]
    if all("samples" in s for s in shapes):
        return [StacSingle()], ["vfd: left out: no velocities of several members", "stac_single: needs successes alone"]
    return [], ["vfd: left out: no velocities of several members", "stac_single: left out: no samples"]


def _missing(episodes: Sequence[Rollout], failures: int, taught: int, calibrating: int, alpha: float) -> str:
    """What SAFE lacks, or nothing."""
    if not all("features" in all_shapes(r) for r in episodes):
        return "no features"
    if failures < LEAST_FAILURES:
        return f"{failures} of at least {LEAST_FAILURES} failures"
    if taught < LEAST_SUCCESSES:
        return f"{taught} of at least {LEAST_SUCCESSES} successes, a third of all"
    if calibrating < needed_for_alpha(alpha):
        return f"it would leave {calibrating} of at least {needed_for_alpha(alpha)} episodes for the threshold"
    return ""


def _deal(nominal: Sequence[Rollout], seed: int) -> tuple[list[Rollout], list[Rollout]]:
    """A share of each task's episodes to learn from, and the others."""
    rng = np.random.default_rng(seed)
    taught: set[str] = set()
    for task in sorted({r.meta.task for r in nominal}):
        ids = sorted(r.meta.episode_id for r in nominal if r.meta.task == task)
        taught.update(rng.permutation(ids)[: int(TEACHING * len(ids))].tolist())
    return [r for r in nominal if r.meta.episode_id in taught], [r for r in nominal if r.meta.episode_id not in taught]
