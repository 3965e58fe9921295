"""From recorded episodes to a bundle: train the detectors, calibrate the monitor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vla_uq.bundle import Bundle, PolicyIdentity
from vla_uq.calibration.nonconformity import Nonconformity
from vla_uq.detectors import Detector, Progress, SafeMlp, SafeTraining, Vfd
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout, RolloutMeta


def build_bundle(
    policy: PolicyIdentity,
    training: Iterable[Rollout],
    calibration: Iterable[Rollout],
    *,
    alpha: float,
    seed: int,
    detectors: Sequence[Detector] | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Fit detectors on the training episodes, bands and thresholds on the calibration episodes.

    Calibration takes the nominal successes; nominal failures are left out and counted. Halted or guarded episodes are
    refused in both parts: a halt cuts an episode short, and thresholds calibrated on such episodes tighten each time.

    :param policy: identity of the policy that acted in all episodes; its ``tensors`` are filled in here.
    :param training: episodes of both outcomes for detectors that learn from failures.
    :param calibration: nominal episodes in shadow mode, none of which is among the training episodes.
    :param alpha: false-alarm rate of the whole monitor.
    :param seed: of the split of the calibration episodes and, by default, of training.
    :param detectors: unfitted detectors; VFD and SAFE-MLP if not given.
    :param provenance: JSON values to keep beside those noted here.
    :raises InputError: naming the episode or the number that is not usable.
    """
    chosen: list[Detector] = (
        [Vfd(), SafeMlp(training=SafeTraining(seed=seed))] if detectors is None else list(detectors)
    )
    train_set, nominal = list(training), list(calibration)
    for rollout in [*train_set, *nominal]:
        _check_usable(rollout.meta, policy.fingerprint)
    _check_calibration([r.meta for r in train_set], [r.meta for r in nominal])
    successes = [r for r in nominal if r.meta.success]
    if not successes:
        raise InputError("no nominal successes", where="calibration", found=f"{len(nominal)} episodes")
    for detector in chosen:
        # A detector that learns from no failures works on the first day, when there are no training episodes yet.
        detector.fit(train_set or successes, progress)
    scores: list[dict[str, np.ndarray]] = []
    for i, rollout in enumerate(successes):
        scores.append({detector.name: detector.score(rollout) for detector in chosen})
        for name, curve in scores[-1].items():
            if not np.isfinite(curve).all():
                raise InputError("score is not finite", where=f"{rollout.meta.episode_id}: {name}")
        if progress is not None:
            progress(i + 1, len(successes), "scoring calibration episodes")
    nonconformity = Nonconformity.fit(scores, alpha, seed)
    needed = sorted({name for detector in chosen for name in detector.needs})
    shapes = {name: tuple(successes[0].tensor(name).shape[1:]) for name in needed}
    identity = replace(policy, tensors=shapes)
    notes = {
        "seed": seed,
        "training": _summary([r.meta for r in train_set]),
        "calibration": _summary([r.meta for r in nominal]),
        **(provenance or {}),
    }
    return Bundle(identity, {d.name: d for d in chosen}, nonconformity, notes)


def _check_usable(meta: RolloutMeta, fingerprint: str) -> None:
    if meta.halted or meta.mode != "shadow":
        raise InputError(
            "episode was guarded",
            where=f"{meta.episode_id}: mode",
            expected="shadow, not halted",
            found=f"{meta.mode}{', halted' if meta.halted else ''}",
            remedy="record calibration and training episodes in shadow mode",
        )
    if meta.policy_fingerprint != fingerprint:
        raise InputError(
            "episode is of another policy",
            where=f"{meta.episode_id}: policy_fingerprint",
            expected=fingerprint,
            found=meta.policy_fingerprint,
        )


def _check_calibration(training: Sequence[RolloutMeta], calibration: Sequence[RolloutMeta]) -> None:
    seen = {meta.episode_id for meta in training}
    for meta in calibration:
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
        if meta.success is None:
            raise InputError("episode has no outcome", where=meta.episode_id, expected="success or failure")


def _summary(metas: Sequence[RolloutMeta]) -> dict[str, Any]:
    return {
        "episodes": len(metas),
        "successes": sum(meta.success is True for meta in metas),
        "disturbances": dict(sorted(Counter(meta.disturbance for meta in metas).items())),
        "tasks": sorted({meta.task for meta in metas}),
        "seeds": [min(meta.seed for meta in metas), max(meta.seed for meta in metas)] if metas else [],
    }
