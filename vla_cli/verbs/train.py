"""``vla-monitor train``: one detector from a rollout store into a file, for ``vla-monitor calibrate``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_cli.console import Console, Report
from vla_cli.episodes import SEEDS, SPAN
from vla_cli.parallel import run_jobs
from vla_cli.surroundings import versions
from vla_cli.verbs.evaluate import usable
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from vla_uq.detectors import Progress
    from vla_uq.evaluation.selection import Choice, Row
    from vla_uq.evaluation.splits import Split
    from vla_uq.rollouts.store import Rollout, RolloutMeta

KEPT_BACK = ("calibrate", "demo", "benchmark")
"""Purposes whose seeds no detector learns from."""
SELECTION = 0.25
"""Share of the episodes to learn from that chooses hyper-parameters, and ends a training that stops early."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which detector, from which episodes, into which file."""
    parser.add_argument("--rollouts", type=Path, required=True, metavar="DIR", help="a rollout store")
    parser.add_argument("--detector", required=True, metavar="NAME", help="such as vfd, safe_mlp, cosine_knn")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the detector file to write")
    parser.add_argument(
        "--sweep", action="store_true", help="choose hyper-parameters and aggregator on a part kept apart"
    )
    parser.add_argument("--feature", default="", metavar="NAME", help="feature tensor (default: features)")
    parser.add_argument("--train-on", default="", metavar="A,B", help="disturbances to learn from (default: all)")
    parser.add_argument("--manifest", type=Path, metavar="FILE", help="learn from its parts `train` and `select`")
    parser.add_argument(
        "--keep",
        type=float,
        metavar="SHARE",
        help="of the episodes, left untouched for calibration (default: 0.3; 0 where the store has some made for it)",
    )
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="of the sweep (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="of the split (default: 0)")


def run(args: argparse.Namespace, console: Console) -> Report:
    """Fit one detector and write it with the ids of all episodes that it has seen."""
    from vla_uq.detectors.file import fitted_to, save_detector
    from vla_uq.evaluation import grids
    from vla_uq.evaluation.episodes import Material, open_store

    split = _split(args)
    material = Material(open_store(args.rollouts), split)
    train, select = material.part("train"), material.part("select")
    (row,) = grids.rows([args.detector])
    if args.feature:
        row = grids.with_features(row, [args.feature])
    choice = _swept(args, row, split, console) if args.sweep else _defaults(row, [*train, *select], console.stages())
    metas = [rollout.meta for rollout in (*train, *select)]
    chosen: dict[str, Any] = {"candidate": choice.candidate, "aggregator": choice.aggregator}
    if args.sweep:
        chosen |= {"tried": choice.tried, "select_auc": choice.auc}
    provenance = {"seed": args.seed, "chosen": chosen, "versions": versions()}
    save_detector(args.out, fitted_to(choice.detector, metas, provenance))
    left = sorted(set(open_store(args.rollouts)) - {meta.episode_id for meta in metas})
    facts: dict[str, Any] = {
        "detector": choice.detector.name,
        "file": str(args.out),
        "policy": metas[0].policy_fingerprint,
        "episodes": len(metas),
        "failures": sum(not meta.success for meta in metas),
        **chosen,
        "episodes_untouched": len(left),
    }
    rows = [{"field": name, "value": str(value)} for name, value in facts.items()]
    next_step = (
        f"next: vla-monitor calibrate --rollouts {args.rollouts} --detector {args.out} --out my.bundle.safetensors"
    )
    return Report("Detector", ("field", "value"), rows, facts, notes=[next_step])


def _defaults(row: Row, episodes: Sequence[Rollout], progress: Progress) -> Choice:
    """The detector as it comes, fitted to all episodes."""
    from vla_uq.evaluation.selection import Choice, described

    candidate = {name: value for name, value in row.candidates[0].items() if name == "feature"}
    detector = replace(row, aggregators=()).make(candidate)
    detector.fit(episodes, progress)
    return Choice(detector, described(candidate), str(detector.state()[1].get("aggregator", "")), float("nan"), 1)


def _swept(args: argparse.Namespace, row: Row, split: Split, console: Console) -> Choice:
    """The best of the grid on the selection part; candidates are fitted side by side."""
    from vla_uq.evaluation.runner import Job, fitted

    jobs = [Job(args.rollouts, split, replace(row, candidates=(candidate,))) for candidate in row.candidates]
    found: dict[int, Choice] = {}
    with console.progress("candidates", len(jobs)) as advance:
        for job, choice in run_jobs(fitted, jobs, args.processes):
            found[jobs.index(job)] = choice
            advance(1, f"{choice.auc:.3f}: {choice.candidate} {choice.aggregator}".rstrip())
    best = found[0]
    for _, choice in sorted(found.items()):
        if choice.auc > best.auc:
            best = choice
    return replace(best, tried=sum(choice.tried for choice in found.values()))


def _split(args: argparse.Namespace) -> Split:
    """Whom to learn from: the manifest's parts, or a share of what is not kept back by its seed."""
    from vla_uq.evaluation.splits import Ratios, Split, stratified

    if args.manifest is not None:
        return Split.load(args.manifest)
    metas, _ = usable(args.rollouts)
    free = [meta for meta in metas if not kept_back(meta)]
    wanted = [name.strip() for name in args.train_on.split(",") if name.strip()]
    learnt = [meta for meta in free if not wanted or meta.disturbance in wanted]
    if not learnt:
        raise InputError(
            "no rollouts to learn from",
            where=str(args.rollouts),
            expected=f"disturbances {args.train_on}" if wanted else "seeds that are not kept for calibration",
            remedy=f"make them with: vla-monitor rollouts --purpose train --out {args.rollouts}",
        )
    keep = (0.3 if len(free) == len(metas) else 0.0) if args.keep is None else args.keep
    if not 0 <= keep < 1:
        raise InputError("is wrong", where="--keep", expected="[0, 1)", found=keep)
    ratios = Ratios(unseen=0, train=(1 - keep) * (1 - SELECTION), select=(1 - keep) * SELECTION, calibrate=keep)
    return stratified(learnt, args.seed, ratios)


def kept_back(meta: RolloutMeta) -> bool:
    """Whether the episode's seed is kept for something else than learning."""
    return any(SEEDS[purpose].first <= meta.seed < SEEDS[purpose].first + SPAN for purpose in KEPT_BACK)
