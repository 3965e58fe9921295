"""``vla-monitor scores``: every uncertainty score on the same recorded traces, with what it says and what it costs."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_cli.console import Console, Report
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from vla_uq.detectors import Detector
    from vla_uq.rollouts.store import Rollout
    from vla_uq.uncertainty.catalogue import Score, Sizes

COLUMNS = ("score", "successes", "failures", "AUC", "evaluations", "M", "N", "K", "extra_evaluations", "us")
READING = (
    "successes, failures: mean over episodes of the episode's score, which is the mean of its first inferences, as "
    "many as the shortest scored episode of its task has. AUC: of failure, over the same scores of episodes.",
    "A score that learns (ace, last_layer_vfd) learnt from episodes that did not fail and are not among these.",
    "evaluations: of the network an inference, beyond the K of the executed chunk; with this store's M members, N "
    "draws, K steps: extra evaluations. us: microseconds an inference of the arithmetic alone, median, streamed.",
    "Detectors that learn from outcomes or compare features: vla-monitor evaluate.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The store, and how much of it."""
    parser.add_argument("rollouts", type=Path, metavar="ROLLOUTS", help="a rollout store")
    parser.add_argument(
        "--learn-from", type=Path, metavar="DIR", help="store for scores that learn (default: every second episode)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only so many episodes, spread evenly over the store")


def run(args: argparse.Namespace, console: Console) -> Report:
    """Score the episodes with everything that their traces allow."""
    from vla_cli.verbs.evaluate import usable
    from vla_uq.evaluation.episodes import open_store
    from vla_uq.uncertainty.catalogue import CATALOGUE

    metas, left_out = usable(args.rollouts)
    store = open_store(args.rollouts)
    scored = _spread([store[meta.episode_id] for meta in metas], args.limit)
    if args.learn_from is None:
        scored, fitting = scored[::2], scored[1::2]
    else:
        others, taken = open_store(args.learn_from), {rollout.meta.episode_id for rollout in scored}
        ids = [meta.episode_id for meta in usable(args.learn_from)[0]]
        fitting = _spread([others[name] for name in ids if name not in taken], None)
    present = set.intersection(*(set(rollout.tensors) for rollout in (*scored, *fitting)))
    rows, omitted = [], {}
    with console.progress("scores", len(CATALOGUE)) as advance:
        for score in CATALOGUE:
            try:
                rows.append(_row(score, fitting, scored, present))
            except InputError as error:
                omitted[score.name] = " ".join(str(error).split())
            advance(1, score.name)
    if not rows:
        raise InputError("no score can be computed", where=str(args.rollouts), found="; ".join(omitted.values()))
    failures = sum(not rollout.meta.success for rollout in scored)
    title = f"{len(scored)} episodes of {args.rollouts} ({failures} failures), {len(fitting)} others to learn from"
    notes = ["", *READING, *left_out, *(f"left out: {name}: {why}" for name, why in omitted.items())]
    return Report(title, COLUMNS, rows, {"left_out": omitted, "notes": [*READING, *left_out]}, notes)


def _spread(rollouts: Sequence[Rollout], limit: int | None) -> Sequence[Rollout]:
    """So many of them, evenly spread; at least two, one to score and one to learn from."""
    count = len(rollouts) if limit is None else min(limit, len(rollouts))
    if count < 2:
        raise InputError("too few episodes", where="scores", expected="at least 2", found=count)
    return [rollouts[i * len(rollouts) // count] for i in range(count)]


def _row(score: Score, fitting: Sequence[Rollout], scored: Sequence[Rollout], present: set[str]) -> dict[str, Any]:
    """One score's line.

    :raises InputError: when the traces do not allow it.
    """
    from vla_uq.detectors import DETECTORS
    from vla_uq.evaluation.metrics import roc_auc
    from vla_uq.evaluation.protocol import CutOffs
    from vla_uq.evaluation.splits import task_key

    if score.live:
        raise InputError("not from traces", remedy=f"call vla_uq.uncertainty.{score.live} where the network runs")
    missing = [name for name in score.tensors if name not in present]
    if missing:
        raise InputError("rollouts lack a tensor", expected=", ".join(missing))
    options: dict[str, Any] = {"aggregator": "none", **score.options}
    detector = DETECTORS[score.detector](**options)
    detector.fit(fitting)
    curves, times = [], []
    for rollout in scored:
        curve, spent = _streamed(detector, rollout)
        curves.append(curve)
        times += spent
    cuts = CutOffs.shortest((task_key(r.meta), len(c)) for r, c in zip(scored, curves, strict=True))
    values = [_mean(c[: cuts.of(task_key(r.meta))]) for r, c in zip(scored, curves, strict=True)]
    failed = [not rollout.meta.success for rollout in scored]
    sizes = _sizes(score, scored[0])
    return {
        "score": score.name,
        "successes": _mean([v for v, bad in zip(values, failed, strict=True) if not bad]),
        "failures": _mean([v for v, bad in zip(values, failed, strict=True) if bad]),
        # A score that is not finite is an alarm.
        "AUC": roc_auc([v if math.isfinite(v) else math.inf for v in values], failed),
        "evaluations": score.cost.formula,
        "M": None if sizes is None else sizes.members,
        "N": None if sizes is None else sizes.draws,
        "K": None if sizes is None else sizes.steps,
        "extra_evaluations": None if sizes is None else score.cost.evaluations(sizes),
        "us": 1e6 * sorted(times)[len(times) // 2],
        "formula": score.formula,
        "source": score.source,
        "tensors": list(score.tensors),
        "streaming": score.streaming,
        "detector": score.detector,
        "options": dict(score.options),
        "episodes": len(values),
        "failed_episodes": sum(failed),
    }


def _streamed(detector: Detector, rollout: Rollout) -> tuple[list[float], list[float]]:
    """Scores of an episode's inferences, one after the other, and the seconds that each took."""
    tensors = {name: rollout.tensor(name) for name in detector.needs}
    detector.reset()
    values, times = [], []
    for t in range(min(map(len, tensors.values()))):
        step = {name: value[t] for name, value in tensors.items()}
        started = time.thread_time()
        values.append(detector.update(step))
        times.append(time.thread_time() - started)
    return values, times


def _sizes(score: Score, rollout: Rollout) -> Sizes | None:
    """M, N and K of what a score looks at; None of tokens, and where flow times were not recorded."""
    from vla_uq.uncertainty.catalogue import Sizes

    shapes: Mapping[str, tuple[int, ...]] = {name: rollout.tensor(name).shape for name in score.tensors}
    if "flow_times" not in rollout.tensors or any(name.startswith("token_") for name in shapes):
        return None
    steps = rollout.tensor("flow_times").shape[1] + 1  # the first node, t = 0, is not recorded
    if "velocities" in shapes:
        _, _, members, draws, *_ = shapes["velocities"]
        return Sizes(members, draws, steps)
    if "samples" in shapes:
        _, members, draws, *_ = shapes["samples"]
        return Sizes(members, draws, steps)
    return Sizes(1, 1, steps)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
