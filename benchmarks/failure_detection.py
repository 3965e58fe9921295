"""The table of the SAFE paper: every detector on seen and unseen tasks, with intervals and both controls."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.failure import conditions
from benchmarks.failure.beds import BEDS, FIRST, TOKEN_ROWS, Source, sources
from benchmarks.failure.published import BEST_TOKEN, SEEN_UNSEEN, WIDOWX, Published
from benchmarks.report import Options, Result, command
from vla_cli.console import Console
from vla_cli.evaluation.sweep import Plan, compare
from vla_cli.robots import FRANKA, ROBOTS
from vla_cli.surroundings import require

ALPHA = 0.1
SPLITS, QUICK_SPLITS = 3, 1
COLUMNS = (
    *("detector", "policy", "seen", "seen_low", "seen_high", "unseen", "unseen_low", "unseen_high"),
    *("seen_within_task", "unseen_within_task", "unseen_balanced_accuracy", "unseen_detection_s", "unseen_leaky"),
    *("paper_seen", "paper_unseen"),
)
NOTES = (
    "Cells: ROC-AUC of failure, pooled over tasks, mean over the splits, 95 % bootstrap over episodes.",
    "Every episode is read up to the shortest training episode of its task (unseen: of any task); leaky: to its end.",
    f"Balanced accuracy: functional band, alpha {ALPHA}, calibrated on successes of seen tasks, length-matched.",
    "Detection: mean seconds to the alarm over all failures, whole episodes; a missed one counts its full length.",
)


def own(parser: argparse.ArgumentParser) -> None:
    """On what, and with how much of the machine."""
    parser.add_argument("--bed", choices=BEDS, default=BEDS[0], help=f"default: {BEDS[0]}")
    parser.add_argument("--robot", choices=tuple(ROBOTS), default=FRANKA, help=f"of the table-top (default: {FRANKA})")
    parser.add_argument("--rollouts", type=Path, metavar="DIR", help="a rollout store to use instead of collecting one")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="default: 2")
    parser.add_argument("--no-search", action="store_true", help="defaults only: no search for hyper-parameters")
    parser.add_argument("--ray", action="store_true", help="run on the Ray cluster of RAY_ADDRESS")


def run(options: Options, console: Console) -> Result:
    """Collect what is missing, evaluate what is missing, and put it into one table."""
    require("train")
    rows: list[dict[str, Any]] = []
    disturbed: list[dict[str, Any]] = []
    notes = list(NOTES)
    rollouts = 0
    for source in sources(options, console):
        found, by_condition, omitted, episodes = _compared(source, options, console)
        rows += found
        disturbed += by_condition
        rollouts += episodes
        notes += [f"left out ({source.policy} policy): {name}: {reason}" for name, reason in omitted.items()]
    bed = str(options.own.get("bed", BEDS[0]))
    variant = _variant(options)
    title = f"Failure detection on the {bed} bed{f' ({variant})' if variant not in ('', bed) else ''}"
    title += f": {rollouts} rollouts, {_splits(options)} split(s) into seen and unseen"
    order = [(row["policy"], row["detector"]) for row in _ordered(rows)]
    disturbed.sort(key=lambda row: order.index((row["policy"], row["row"])))
    return Result(
        title,
        COLUMNS,
        _ordered(rows),
        headline(rows, rollouts) | conditions.headline(disturbed),
        notes=[*notes, *conditions.notes(disturbed, ALPHA)],
        variant=variant,
        tables=conditions.tables(disturbed, ALPHA),
    )


def _compared(
    source: Source, options: Options, console: Console
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Mapping[str, str], int]:
    """The rows of one policy, those of each condition, those left out with the reason, and the number of rollouts."""
    from vla_cli.verbs.evaluate import usable
    from vla_uq.evaluation import grids
    from vla_uq.evaluation.conditions import by_condition
    from vla_uq.evaluation.splits import stratified
    from vla_uq.evaluation.table import table

    metas, _ = usable(source.store)
    rows = [row for row in grids.rows(source.detectors) if source.policy != "flow" or row.name not in TOKEN_ROWS]
    plan = Plan(
        store=source.store,
        splits=[stratified(metas, seed) for seed in range(_splits(options))],
        rows=[grids.quick(row) for row in rows] if options.quick or options.own.get("no_search") else rows,
        kept=options.out / "failure_detection" / f"{source.store.parent.name}-{source.policy}.jsonl",
        processes=options.own.get("processes", 2),
        ray=options.own.get("ray", False),
    )
    comparison = compare(plan, console)
    best = comparison.best()
    published = WIDOWX if _variant(options) == "widowx" else SEEN_UNSEEN
    found = [line(row, source.policy, best, published) for row in table(comparison, ALPHA)]
    disturbed = [
        {**each, "policy": source.policy}
        for name in comparison.names()
        for each in by_condition(comparison, name, ALPHA)
    ]
    return found, disturbed, comparison.refused(), len(metas)


def line(row: Mapping[str, Any], policy: str, best: str | None, published: Published = SEEN_UNSEEN) -> dict[str, Any]:
    """A row of the comparison with the paper's figures beside it; everything else is under ``details``."""
    name = row["row"]
    seen, unseen = published.get(name, (None, None))
    found: dict[str, Any] = {"detector": name, "policy": policy, "control": row["control"]}
    for part in ("seen", "unseen"):
        found[part] = row[f"{part}_roc_auc"]
        found |= {f"{part}_{end}": row[f"{part}_roc_auc_{end}"] for end in ("low", "high")}
        found[f"{part}_within_task"] = row[f"{part}_roc_auc_within"]
        found[f"{part}_balanced_accuracy"] = row[f"{part}_balanced_accuracy"]
        found[f"{part}_detection_s"] = row[f"{part}_leaky_detection_seconds"]
        found[f"{part}_leaky"] = row[f"{part}_leaky"]
        found[f"{part}_by_condition"] = row[f"{part}_by_condition"]
    found |= {"paper_seen": seen, "paper_unseen": unseen}
    return {**found, "best_unseen": name == best and policy != "tokens", "details": dict(row)}


def headline(rows: Sequence[Mapping[str, Any]], rollouts: int) -> dict[str, float]:
    """Counts, the best detector's figures, and each row's area on unseen tasks.

    The best is sought among the rows of the flow policy: the others were tested on other episodes.
    """
    controls = [row for row in rows if row["control"]]
    best = next((row for row in rows if row["best_unseen"]), {})
    numbers: dict[str, float] = {
        "rows": len(rows) - len(controls),
        "rollouts": rollouts,
        "controls": len({row["detector"] for row in controls}),
        "best_unseen": best.get("unseen", float("nan")),
        "best_unseen_on_seen": best.get("seen", float("nan")),
        "best_unseen_within_task": best.get("unseen_within_task", float("nan")),
    }
    for row in rows:
        suffix = "_of_token_policy" if row["policy"] == "tokens" and row["detector"] not in TOKEN_ROWS else ""
        numbers[f"{row['detector']}{suffix}_unseen"] = row["unseen"]
    tokens = [row for row in rows if row["detector"] in TOKEN_ROWS]
    if tokens:
        numbers["best_token_unseen"] = max(row["unseen"] for row in tokens)
        numbers["best_token_unseen_in_paper"] = BEST_TOKEN[1]
    return numbers


def _ordered(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """By policy, controls last, the best on unseen tasks first."""
    policies = list(dict.fromkeys(row["policy"] for row in rows))
    return sorted(rows, key=lambda row: (policies.index(row["policy"]), row["control"], -_known(row["unseen"])))


def _known(value: float) -> float:
    return value if value == value else -1.0


def _variant(options: Options) -> str:
    """The bed or robot, where it is not the first one."""
    bed, robot = (str(options.own.get(name, first)) for name, first in (("bed", BEDS[0]), ("robot", FRANKA)))
    return bed if bed != BEDS[0] else robot if robot != FRANKA else ""


def _splits(options: Options) -> int:
    return QUICK_SPLITS if options.quick else SPLITS


if __name__ == "__main__":
    sys.exit(command("failure_detection", run, FIRST, own=own))
