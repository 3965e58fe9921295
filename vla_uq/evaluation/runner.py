"""One detector on one split: fit, select, calibrate, test. Each step sees its own part of the episodes only."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vla_uq.calibration.functional import FunctionalBand
from vla_uq.detectors import Detector
from vla_uq.errors import InputError
from vla_uq.evaluation.alarms import alarm_report, first_alarm
from vla_uq.evaluation.episodes import Material, open_store
from vla_uq.evaluation.protocol import PROTOCOLS, WHOLE, CutOffs, Protocol, peak
from vla_uq.evaluation.results import TESTED, Band, Example, RunResult
from vla_uq.evaluation.selection import Choice, Curve, Row, choose
from vla_uq.evaluation.splits import Split, task_key
from vla_uq.evaluation.thresholds import first_alarms
from vla_uq.rollouts.store import Rollout

ALPHAS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
EXAMPLES = 3
"""Episodes of each outcome and part whose curves are kept."""


@dataclass(frozen=True)
class Job:
    """One row on one split.

    :param store: folder of the rollouts.
    """

    store: Path
    split: Split
    row: Row
    alphas: tuple[float, ...] = ALPHAS


def run(job: Job) -> RunResult:
    """Evaluate; runs in a process of its own.

    A detector that cannot be fitted to these episodes, or scores none of them, is a result that says why.

    :raises InputError: when the store lacks an episode of the split.
    """
    material = Material(open_store(job.store), job.split)
    matched = material.cut_offs("train")
    try:
        started = time.perf_counter()
        choice = _chosen(job.row, material, matched)
        seconds = time.perf_counter() - started
        return _tested(job, material, matched, choice, seconds)
    except InputError as error:
        return RunResult(job.row.name, job.row.detector, job.row.control, job.split.name, refused=str(error))


def fitted(job: Job) -> Choice:
    """Fit and select alone, without a test; runs in a process of its own.

    :raises InputError: when the store lacks an episode of the split, or the detector cannot be fitted.
    """
    material = Material(open_store(job.store), job.split)
    return _chosen(job.row, material, material.cut_offs("train"))


def _chosen(row: Row, material: Material, matched: CutOffs) -> Choice:
    present = material.tensors()

    def ready(detector: Detector) -> None:
        missing = [name for name in detector.needs if name not in present]
        if missing:
            raise InputError("rollouts lack a tensor", where=row.name, expected=", ".join(missing))
        material.forget(but=detector.needs)

    episodes = [rollout for part in row.fitted_on for rollout in material.part(part)]
    return choose(row, episodes, material.part("select"), matched, before=ready)


def _tested(job: Job, material: Material, matched: CutOffs, choice: Choice, seconds: float) -> RunResult:
    cuts: Mapping[Protocol, CutOffs] = {"matched": matched, "published": material.cut_offs(), "leaky": WHOLE}
    parts = {name: material.part(name) for name in TESTED}
    curves, pace = {}, []
    for rollout in (rollout for rollouts in parts.values() for rollout in rollouts):
        for tensor in choice.detector.needs:
            rollout.tensor(tensor)  # from the disk now, so that only the scoring is timed
        started = time.perf_counter()
        curves[rollout.meta.episode_id] = curve = choice.detector.score(rollout)
        pace.append((time.perf_counter() - started) / len(curve))
    calibrating = [(r.meta, choice.detector.score(r)) for r in material.part("calibrate") if r.meta.success]
    successes, nominal = [c for _, c in calibrating], [c for meta, c in calibrating if meta.nominal]
    by_part = {name: [curves[r.meta.episode_id] for r in rollouts] for name, rollouts in parts.items()}
    peaks = {
        name: {protocol: [_peak(curves, r, cuts[protocol]) for r in rollouts] for protocol in PROTOCOLS}
        for name, rollouts in parts.items()
    }
    longest = max(material.lengths.values())
    shown = [_example(curves, name, r) for name, rollouts in parts.items() for r in _few(rollouts)]
    return RunResult(
        row=job.row.name,
        detector=job.row.detector,
        control=job.row.control,
        split=job.split.name,
        chosen={
            "candidate": choice.candidate,
            "aggregator": choice.aggregator,
            "select_auc": choice.auc,
            "tried": choice.tried,
        },
        peaks=peaks,
        read={name: [_read(curves, r, matched) for r in rollouts] for name, rollouts in parts.items()},
        short={name: sum(_short(curves, r, matched) for r in rollouts) for name, rollouts in parts.items()},
        bands=[_band(alpha, job.split.seed, successes, curves, parts, matched, longest) for alpha in job.alphas],
        alarms=[each for alpha in job.alphas for each in first_alarms(nominal, alpha, job.split.seed, by_part)],
        examples=shown,
        fit_seconds=seconds,
        step_microseconds=1e6 * float(np.median(pace)) if pace else float("nan"),
    )


def _band(
    alpha: float,
    seed: int,
    successes: Sequence[Curve],
    curves: Mapping[str, Curve],
    parts: Mapping[str, Sequence[Rollout]],
    matched: CutOffs,
    longest: int,
) -> Band:
    try:
        band = FunctionalBand.fit(successes, alpha, seed)
    except InputError as error:
        return Band(alpha, refused=str(error))
    passes = {name: band.passes(curve) for name, curve in curves.items()}
    reports = {
        name: {
            protocol: alarm_report(
                [first_alarm(passes[r.meta.episode_id], cuts.of(task_key(r.meta))) for r in rollouts],
                [len(curves[r.meta.episode_id]) for r in rollouts],
                [r.meta for r in rollouts],
                longest,
            )
            for protocol, cuts in (("matched", matched), ("leaky", WHOLE))
        }
        for name, rollouts in parts.items()
    }
    return Band(alpha, band.n, tuple(band.upper(longest).tolist()), reports)


def _few(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """The first episodes of each outcome, spread over the part so that they are of different tasks."""
    chosen = []
    for success in (True, False):
        found = [rollout for rollout in rollouts if rollout.meta.success is success]
        chosen += [found[i * len(found) // EXAMPLES] for i in range(min(EXAMPLES, len(found)))]
    return chosen


def _example(curves: Mapping[str, Curve], part: str, rollout: Rollout) -> Example:
    meta = rollout.meta
    return Example(meta.episode_id, task_key(meta), part, not meta.success, tuple(curves[meta.episode_id].tolist()))


def _peak(curves: Mapping[str, Curve], rollout: Rollout, cuts: CutOffs) -> float:
    return peak(curves[rollout.meta.episode_id], cuts.of(task_key(rollout.meta)))


def _read(curves: Mapping[str, Curve], rollout: Rollout, cuts: CutOffs) -> int:
    length, cut = len(curves[rollout.meta.episode_id]), cuts.of(task_key(rollout.meta))
    return length if cut is None else min(length, cut)


def _short(curves: Mapping[str, Curve], rollout: Rollout, cuts: CutOffs) -> bool:
    cut = cuts.of(task_key(rollout.meta))
    return cut is not None and len(curves[rollout.meta.episode_id]) < cut
