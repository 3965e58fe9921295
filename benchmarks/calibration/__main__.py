"""``python -m benchmarks.calibration``: success of each task against the mean score of its first frames."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import Options, Result, command
from vla_cli.console import Console
from vla_cli.surroundings import require

if TYPE_CHECKING:
    from benchmarks.calibration.study import Measured

PAIRS = 3
COLUMNS = (
    "score", "pairs", "rounds", "tasks", "spearman", "spearman_std", "pearson", "pearson_std", "words", "words_std",
)  # fmt: skip


def run(options: Options, console: Console) -> Result:
    """Measure what is missing, and correlate."""
    require("sim", "train")
    from benchmarks.calibration.study import SCORED, Plan, Study
    from benchmarks.experts.heads import Training
    from benchmarks.experts.workshop import open_workshop
    from sim_node.tasks import TASKS

    tasks = [task for task in TASKS.values() if task.split != "two_part"]
    texts = tuple(task.instruction for task in tasks)
    plan, demonstrations, iterations, pairs = Plan(texts, rounds=3, spoken=texts[:16:2]), 40, 5500, PAIRS
    if options.quick:
        demonstrations, iterations, pairs = 16, 1500, 2
        plan = replace(
            plan, tasks=texts[:12], rounds=1, budget=10, pretraining=16, episodes=5, spoken=texts[:4:2],
            first=Training(1200), tuning=Training(300, rate=3e-4),
        )  # fmt: skip
    folder = options.out / ("calibration_quick" if options.quick else "calibration")
    used = [task for task in tasks if task.instruction in plan.tasks]
    workshop = open_workshop(options.out / "experts", used, demonstrations, iterations, console)
    studies = [Study(workshop, plan, options.seed + pair, folder, 2) for pair in range(pairs)]
    with console.progress("measurements", sum(study.steps for study in studies)) as advance:
        measured = [one for study in studies for one in study.run(advance)]
    rows = [row(name, measured, plan.rounds) for name in SCORED]
    by_name = {r["score"]: r["spearman"] for r in rows}
    success = [np.mean(list(m.success.values())) for m in measured if not m.said]
    headline = {name: float(by_name[name]) for name in SCORED}
    headline |= {"tasks": len(plan.tasks), "pairs": pairs, "mean_success": float(np.mean(success))}
    title = "−Spearman and −Pearson of mean first-frame score with success, over tasks (words: over paraphrases)"
    return Result(title, COLUMNS, rows, headline)


def row(name: str, measured: Sequence[Measured], rounds: int) -> dict[str, Any]:
    """One score: mean over rounds, then mean and (population) standard deviation over pairs, as in the paper."""
    from scipy.stats import pearsonr, spearmanr

    by_tasks = [m for m in measured if not m.said]
    spearman = _over_pairs(by_tasks, name, lambda u, s: -float(spearmanr(u, s).statistic))
    pearson = _over_pairs(by_tasks, name, lambda u, s: -float(pearsonr(u, s).statistic))
    words = _over_pairs([m for m in measured if m.said], name, lambda u, s: -float(spearmanr(u, s).statistic))
    return {
        "score": name,
        "pairs": len(spearman),
        "rounds": rounds + 1,
        "tasks": len(by_tasks[0].success),
        "spearman": np.mean(spearman),
        "spearman_std": np.std(spearman),
        "pearson": np.mean(pearson),
        "pearson_std": np.std(pearson),
        "words": np.mean(words) if words else float("nan"),
        "words_std": np.std(words) if words else float("nan"),
    }


def _over_pairs(
    measured: Sequence[Measured], name: str, correlate: Callable[[Sequence[float], Sequence[float]], float]
) -> list[float]:
    """Correlation of a pair, mean over its measurements; those in which success does not vary say nothing."""
    found: dict[int, list[float]] = {}
    for m in measured:
        success: Mapping[str, float] = m.success
        if len(set(success.values())) > 1:
            labels = sorted(success)
            value = correlate([m.scores[name][x] for x in labels], [success[x] for x in labels])
            found.setdefault(m.pair, []).append(value)
    return [float(np.mean(values)) for values in found.values()]


if __name__ == "__main__":
    sys.exit(command("calibration", run, 0))
