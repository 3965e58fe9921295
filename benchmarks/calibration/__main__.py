"""``python -m benchmarks.calibration``: success of each task against the mean score of its first frames."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.calibration.beds import BEDS
from benchmarks.report import Options, Result, command
from vla_cli.console import Console
from vla_cli.surroundings import require

if TYPE_CHECKING:
    from benchmarks.calibration.study import Measured, Plan

DEFAULT = "tabletop"
COLUMNS = (
    "score", "pairs", "rounds", "tasks", "spearman", "spearman_std", "pearson", "pearson_std", "words", "words_std",
)  # fmt: skip
TITLE = "−Spearman and −Pearson of mean first-frame score with success, over tasks"


def own(parser: argparse.ArgumentParser) -> None:
    """On what, and with how much of the machine."""
    parser.add_argument("--bed", choices=BEDS, default=DEFAULT, help=f"default: {DEFAULT}")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="default: 2")
    parser.add_argument("--ensembles", action="store_true", help="instead: what an ensemble may share")


def run(options: Options, console: Console) -> Result:
    """Measure what is missing, and correlate."""
    require("sim", "train")
    if options.own["ensembles"]:
        from benchmarks.calibration import ensembles

        return ensembles.run(options, console)
    from benchmarks.calibration.controls import with_controls
    from benchmarks.calibration.study import SCORED, Study

    name = options.own["bed"]
    variant = "" if name == DEFAULT else name
    setting = BEDS[name](options, console)
    plan = setting.plan
    folder = options.out / "_".join(filter(None, ("calibration", variant, "quick" if options.quick else "")))
    seeds = range(options.seed, options.seed + setting.pairs)
    studies = [Study(setting.bed, plan, seed, folder, options.own["processes"]) for seed in seeds]
    with console.progress("measurements", sum(study.steps for study in studies)) as advance:
        measured = [one for study in studies for one in study.run(advance)]
    measured, controls = with_controls(measured, plan)
    rows = [row(score, measured, plan) for score in (*SCORED, *controls)]
    columns = [column for column in COLUMNS if plan.spoken or not column.startswith("words")]
    success = [float(np.mean(list(m.success.values()))) for m in measured if not m.said]
    headline = {line["score"]: float(line["spearman"]) for line in rows}
    headline |= {"tasks": len(plan.tasks), "pairs": setting.pairs, "mean_success": float(np.mean(success))}
    title = f"{TITLE} (words: over paraphrases)" if plan.spoken else f"{TITLE} of {name}"
    return Result(title, columns, rows, headline, notes=notes(measured, plan), variant=variant)


def notes(measured: Sequence[Measured], plan: Plan) -> list[str]:
    """What lies behind a row, and how well the tasks went after each round."""
    found = [f"{plan.episodes} episodes a task and measurement; a measurement follows the pretraining and each round."]
    for index in range(plan.rounds + 1):
        now = [m.success for m in measured if not m.said and m.index == index]
        parts = [[s[t] for s in now for t in tasks if t in s] for tasks in (plan.known, plan.others)]
        known, other = (float(np.mean(part)) for part in parts)
        found.append(f"Round {index}: success {known:.2f} on the tasks of the pretraining, {other:.2f} on the others.")
    return found


def row(name: str, measured: Sequence[Measured], plan: Plan) -> dict[str, Any]:
    """One score: mean over rounds, then mean and (population) standard deviation over pairs, as in the paper.

    Without a column: Spearman after the pretraining and each round (``by_round``), over the tasks of the pretraining
    alone (``known``), and over the ``others``.
    """
    from scipy.stats import pearsonr, spearmanr

    def ranks(u: Sequence[float], s: Sequence[float]) -> float:
        return -float(spearmanr(u, s).statistic)

    def mean_over(tasks: Sequence[str], indices: Sequence[int]) -> float:
        kept = [m for m in by_tasks if m.index in indices]
        parts = [replace(m, success={task: m.success[task] for task in tasks}) for m in kept]
        return _mean(_over_pairs(parts, name, ranks))

    by_tasks = [m for m in measured if not m.said]
    every = range(plan.rounds + 1)
    spearman = _over_pairs(by_tasks, name, ranks)
    pearson = _over_pairs(by_tasks, name, lambda u, s: -float(pearsonr(u, s).statistic))
    words = _over_pairs([m for m in measured if m.said and name in m.scores], name, ranks)
    return {
        "score": name,
        "pairs": len(spearman),
        "rounds": len(every),
        "tasks": len(plan.tasks),
        "spearman": np.mean(spearman),
        "spearman_std": np.std(spearman),
        "pearson": np.mean(pearson),
        "pearson_std": np.std(pearson),
        "words": _mean(words),
        "words_std": np.std(words) if words else float("nan"),
        "by_round": [mean_over(plan.tasks, [index]) for index in every],
        "known": mean_over(plan.known, every),
        "others": mean_over(plan.others, every),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _over_pairs(
    measured: Sequence[Measured], name: str, correlate: Callable[[Sequence[float], Sequence[float]], float]
) -> list[float]:
    """Correlation of a pair, mean over its measurements; those in which success or score do not vary say nothing."""
    found: dict[int, list[float]] = {}
    for m in measured:
        labels = sorted(m.success)
        scores, success = [m.scores[name][x] for x in labels], [m.success[x] for x in labels]
        if len(set(scores)) > 1 and len(set(success)) > 1:
            found.setdefault(m.pair, []).append(correlate(scores, success))
    return [float(np.mean(values)) for values in found.values()]


if __name__ == "__main__":
    sys.exit(command("calibration", run, 0, own=own))
