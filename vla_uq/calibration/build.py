"""From recorded episodes to a bundle: train the detectors, calibrate the monitor.

Three ways in, each on top of the next: a pile of episodes (:func:`build_from`), episodes for training and others for
calibration (:func:`build_bundle`), detectors that are fitted already (:func:`calibrate`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from vla_uq.bundle import Bundle, PolicyIdentity
from vla_uq.calibration.consistency import check_alike, check_usable
from vla_uq.calibration.division import SHAPES_ONLY, TEACHING, calibrates, divide
from vla_uq.calibration.functional import FRACTION
from vla_uq.calibration.methods import FUNCTIONAL, calibrating
from vla_uq.calibration.mondrian import fit_per_task
from vla_uq.calibration.nonconformity import Nonconformity
from vla_uq.calibration.outlook import check_enough, outlook
from vla_uq.detectors import Detector, Progress, SafeMlp, SafeTraining, Vfd
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout, RolloutMeta


def build_from(
    policy: PolicyIdentity,
    episodes: Iterable[Rollout],
    *,
    alpha: float,
    seed: int,
    method: str = FUNCTIONAL,
    per_task: bool = False,
    detectors: Sequence[Detector] | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """A bundle from episodes that nobody has divided yet, such as a folder of a lab's bags.

    :func:`vla_uq.calibration.division.divide` says what becomes of which episode; the bundle's provenance says under
    ``choice`` why each detector is in it or not.

    :param detectors: unfitted detectors, instead of those that the episodes support.
    :raises InputError: as :func:`build_bundle`.
    """
    pile = list(episodes)
    if not pile:
        raise InputError("no episodes", where="calibration")
    _check_usable(pile, policy)
    parts = divide(pile, alpha, seed, partial(calibrating, method, fraction=FRACTION), detectors)
    bundle = build_bundle(
        policy,
        parts.training,
        parts.calibration,
        alpha=alpha,
        seed=seed,
        method=method,
        per_task=per_task,
        detectors=parts.detectors,
        provenance={"choice": list(parts.why), **(provenance or {})},
        progress=progress,
    )
    if not parts.training:
        return bundle
    # Of what is recorded from now on, a share teaches too.
    count, have = _counter(method, parts.detectors), sum(calibrates(r.meta) for r in pile)
    kept = len(parts.calibration)
    more = outlook(have, alpha, lambda n: count(kept + n - have - int(TEACHING * (n - have))))
    return replace(bundle, provenance={**bundle.provenance, "more_successes": more})


def build_bundle(
    policy: PolicyIdentity,
    training: Iterable[Rollout],
    calibration: Iterable[Rollout],
    *,
    alpha: float,
    seed: int,
    method: str = FUNCTIONAL,
    per_task: bool = False,
    detectors: Sequence[Detector] | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Fit detectors on the training episodes, bands and thresholds on the calibration episodes.

    :param policy: identity of the policy that acted in all episodes; its ``tensors`` are filled in here.
    :param training: episodes of both outcomes for detectors that learn from failures; may be none where no detector
        learns from values.
    :param calibration: nominal episodes in shadow mode, none of which is among the training episodes.
    :param seed: of the split of the calibration episodes and, by default, of training.
    :param detectors: unfitted detectors; VFD and SAFE-MLP if not given.
    :raises InputError: naming the episode or the number that is not usable.
    """
    chosen: list[Detector] = (
        [Vfd(), SafeMlp(training=SafeTraining(seed=seed))] if detectors is None else list(detectors)
    )
    train_set, nominal = list(training), list(calibration)
    _check_usable(train_set, policy)
    trained_on = [r.meta.episode_id for r in train_set]
    successes = _successes(nominal, policy, trained_on)
    check_enough(len(successes), alpha, _counter(method, chosen))
    check_alike([*train_set, *nominal], _needs(chosen))
    for detector in chosen:
        if not train_set and detector.name not in SHAPES_ONLY:
            raise InputError("needs training episodes", where=detector.name, remedy="keep some apart from calibration")
        detector.fit(train_set or successes, progress)
    notes = {"training": _summary([r.meta for r in train_set]), **(provenance or {})}
    return calibrate(
        policy,
        chosen,
        nominal,
        trained_on=trained_on,
        alpha=alpha,
        seed=seed,
        method=method,
        per_task=per_task,
        provenance=notes,
        progress=progress,
    )


def calibrate(
    policy: PolicyIdentity,
    detectors: Sequence[Detector],
    calibration: Iterable[Rollout],
    *,
    trained_on: Collection[str] = (),
    alpha: float,
    seed: int,
    method: str = FUNCTIONAL,
    per_task: bool = False,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Bands and thresholds for fitted detectors.

    Calibration takes the nominal successes; nominal failures are left out and counted. Halted or guarded episodes are
    refused: a halt cuts an episode short, and thresholds calibrated on such episodes tighten each time.

    :param detectors: fitted.
    :param trained_on: ids of the episodes that they were fitted to or selected on.
    :param alpha: false-alarm rate of the whole monitor.
    :param method: one of :data:`vla_uq.calibration.methods.METHODS`.
    :param per_task: a threshold for each task (instruction) that has enough episodes, besides the one for all.
    :param provenance: JSON values to keep beside those noted here.
    :raises InputError: naming the episode or the number that is not usable.
    """
    nominal = list(calibration)
    successes = _successes(nominal, policy, trained_on)
    count = _counter(method, detectors)
    check_enough(len(successes), alpha, count)
    shapes = check_alike(nominal, _needs(detectors))
    scores = [_scores(detectors, r) for r in _shown(successes, progress)]
    tasks = None
    if per_task:
        pooled, tasks = fit_per_task(scores, [r.meta.task for r in successes], alpha, seed, method=method)
    else:
        pooled = Nonconformity.fit(scores, alpha, seed, method=method)
    notes = {
        "seed": seed,
        "method": method,
        "calibration": _summary([r.meta for r in nominal]),
        "more_successes": outlook(len(successes), alpha, count),
        **(provenance or {}),
    }
    return Bundle(replace(policy, tensors=shapes), {d.name: d for d in detectors}, pooled, notes, tasks)


def _counter(method: str, detectors: Sequence[Detector]) -> Callable[[int], int]:
    """How many of so many successes calibrate the threshold."""
    return lambda successes: calibrating(method, successes, len(detectors), FRACTION)


def _needs(detectors: Sequence[Detector]) -> list[str]:
    return sorted({name for detector in detectors for name in detector.needs})


def _scores(detectors: Sequence[Detector], rollout: Rollout) -> dict[str, np.ndarray]:
    curves = {detector.name: detector.score(rollout) for detector in detectors}
    for name, curve in curves.items():
        if not np.isfinite(curve).all():
            raise InputError("score is not finite", where=f"{rollout.meta.episode_id}: {name}")
    return curves


def _shown(rollouts: Sequence[Rollout], progress: Progress | None) -> Iterable[Rollout]:
    for i, rollout in enumerate(rollouts):
        yield rollout
        if progress is not None:
            progress(i + 1, len(rollouts), "scoring calibration episodes")


def _check_usable(rollouts: Sequence[Rollout], policy: PolicyIdentity) -> None:
    ids: set[str] = set()
    for rollout in rollouts:
        check_usable(rollout.meta, policy)
        if rollout.meta.episode_id in ids:
            raise InputError("episode occurs twice", where=rollout.meta.episode_id)
        ids.add(rollout.meta.episode_id)


def _successes(calibration: Sequence[Rollout], policy: PolicyIdentity, trained_on: Collection[str]) -> list[Rollout]:
    """The episodes that can calibrate, all of them checked."""
    _check_usable(calibration, policy)
    seen = set(trained_on)
    for meta in (r.meta for r in calibration):
        if meta.episode_id in seen:
            raise InputError(
                "episode is in the training part too", where=meta.episode_id, remedy="keep the parts apart"
            )
        if not meta.nominal:
            raise InputError(
                "calibration episode is disturbed",
                where=f"{meta.episode_id}: disturbance",
                expected="none",
                found=meta.disturbance,
            )
    successes = [r for r in calibration if calibrates(r.meta)]
    if not successes:
        raise InputError("no nominal successes", where="calibration", found=f"{len(calibration)} episodes")
    return successes


def _summary(metas: Sequence[RolloutMeta]) -> dict[str, Any]:
    return {
        "episodes": len(metas),
        "successes": sum(meta.success is True for meta in metas),
        "disturbances": dict(sorted(Counter(meta.disturbance for meta in metas).items())),
        "tasks": sorted({meta.task for meta in metas}),
        "seeds": [min(meta.seed for meta in metas), max(meta.seed for meta in metas)] if metas else [],
    }
