"""``vla-monitor evaluate``: every detector on the same episodes, as one table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vla_cli.console import Console, Report
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from vla_uq.evaluation.selection import Row
    from vla_uq.evaluation.splits import Split
    from vla_uq.rollouts.store import RolloutMeta

STRATIFIED = "stratified"
SCHEMES = (STRATIFIED, "safe-libero", "safe-simpler", "safe-franka", "safe-widowx")
ALPHA = 0.1
READING = (
    "Cells: ROC-AUC, mean over the splits (95 % bootstrap over episodes), every episode read over the same steps.",
    "to best: difference to the best detector on unseen tasks, paired. leaky: whole episodes, whose length tells.",
    "T-det: mean seconds to the alarm over all failures, whole episodes; a missed failure counts its full length.",
)
OVERLAP = "SAFE's splits: selection, calibration and the test on seen tasks use the same episodes, as published."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which episodes, which detectors, split how, and where to write."""
    parser.add_argument("--rollouts", type=Path, required=True, metavar="DIR", help="a rollout store")
    parser.add_argument("--detectors", default="", metavar="A,B", help="default: all, with both controls")
    parser.add_argument(
        "--features", default="features", metavar="A,B", help="tensors to choose from for feature detectors, or `all`"
    )
    parser.add_argument("--scheme", choices=SCHEMES, default=STRATIFIED, help=f"of the splits (default: {STRATIFIED})")
    parser.add_argument("--seeds", default="0,1,2", metavar="N,N", help="of the splits (default: 0,1,2)")
    parser.add_argument("--manifest", type=Path, nargs="+", metavar="FILE", help="splits to use instead of new ones")
    parser.add_argument("--alpha", type=float, default=ALPHA, help=f"of the band in the table (default: {ALPHA})")
    parser.add_argument("--quick", action="store_true", help="defaults only: no search for hyper-parameters")
    parser.add_argument(
        "--out", type=Path, default=Path("out/evaluate"), metavar="DIR", help="results so far, manifests"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table with all its numbers")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report with curves, bands and feature maps")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="default: 2")
    parser.add_argument("--ray", action="store_true", help="run on the Ray cluster of RAY_ADDRESS instead")


def run(args: argparse.Namespace, console: Console) -> Report:
    """Fit, select, calibrate and test every detector on every split."""
    from vla_cli.evaluation import tables
    from vla_cli.evaluation.page import write_page
    from vla_cli.evaluation.sweep import Plan, compare
    from vla_uq.evaluation.runner import ALPHAS
    from vla_uq.evaluation.splits import PUBLISHED
    from vla_uq.evaluation.table import table

    if not 0 < args.alpha < 1:
        raise InputError("must lie inside (0, 1)", where="--alpha", found=args.alpha)
    metas, left_out = usable(args.rollouts)
    splits = _splits(args, metas)
    for number, split in enumerate(splits):
        split.save(args.out / f"split-{number}.json")
    rows = _rows(args)
    alphas = tuple(sorted({*ALPHAS, args.alpha}))
    plan = Plan(args.rollouts, splits, rows, args.out / "fits.jsonl", alphas, args.processes, args.ray)
    comparison = compare(plan, console)
    found = table(comparison, args.alpha)
    if not found:
        reasons = "; ".join(comparison.refused().values())
        raise InputError("no detector can be evaluated", where=str(args.rollouts), found=reasons)
    line = (
        f"{len(metas)} episodes ({sum(not m.success for m in metas)} failures), {len(splits)} splits "
        f"({', '.join(split.name for split in splits)}), α = {args.alpha:g}"
    )
    omitted = [f"left out: {name}: {reason}" for name, reason in comparison.refused().items()]
    published = [OVERLAP] if any(split.scheme == PUBLISHED for split in splits) else []
    notes = [*READING, *published, *left_out, *omitted]
    if args.csv is not None:
        tables.write_csv(args.csv, found)
    if args.html is not None:
        write_page(args.html, comparison, found, args.rollouts, args.alpha, notes, line)
    if console.as_json:
        data = {"episodes": len(metas), "alpha": args.alpha, "best_unseen": comparison.best(), "notes": notes}
        return Report(line, rows=found, data=data)
    return Report(line, tables.COLUMNS, tables.shown(found), notes=["", *notes])


def usable(store: Path) -> tuple[list[RolloutMeta], list[str]]:
    """The metadata of the episodes that can be compared, and a line for each reason why others cannot.

    :raises InputError: when none can.
    """
    from vla_uq.rollouts.store import RolloutStore

    metas = list(RolloutStore(store).metas())
    reasons = {
        "without an outcome": [m for m in metas if m.success is None],
        "halted or guarded, and so cut short": [m for m in metas if m.halted or m.mode != "shadow"],
    }
    dropped = {m.episode_id for group in reasons.values() for m in group}
    kept = [m for m in metas if m.episode_id not in dropped]
    if not kept:
        raise InputError(
            "no episodes to compare",
            where=str(store),
            expected="rollouts with outcomes, in shadow mode",
            found=f"{len(metas)} rollouts",
            remedy="make some with `vla-monitor rollouts` or `vla-monitor import`",
        )
    return kept, [f"left out: {len(group)} episodes {reason}" for reason, group in reasons.items() if group]


def _splits(args: argparse.Namespace, metas: Sequence[RolloutMeta]) -> list[Split]:
    from vla_uq.evaluation.safe_splits import safe_split
    from vla_uq.evaluation.splits import Split, stratified

    if args.manifest:
        return [Split.load(path) for path in args.manifest]
    try:
        seeds = [int(seed) for seed in args.seeds.split(",")]
    except ValueError as error:
        raise InputError("is not a list of numbers", where="--seeds", found=args.seeds) from error
    if args.scheme == STRATIFIED:
        return [stratified(metas, seed) for seed in seeds]
    return [safe_split(metas, seed, args.scheme.removeprefix("safe-")) for seed in seeds]


def _rows(args: argparse.Namespace) -> list[Row]:
    from vla_uq.evaluation import grids
    from vla_uq.evaluation.episodes import open_store

    rows = grids.rows(name.strip() for name in args.detectors.split(",") if name.strip())
    features = [name.strip() for name in args.features.split(",") if name.strip()]
    if features == ["all"]:
        first = next(iter(open_store(args.rollouts).values()))
        features = sorted(name for name in first.tensors if name.split("/")[0] == "features")
    if features != ["features"]:
        rows = [grids.with_features(row, features) for row in rows]
    return [grids.quick(row) for row in rows] if args.quick else rows
