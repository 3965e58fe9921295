"""``python -m benchmarks.toy2d``: which score ranks conditions as their true divergence does."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.report import Options, Result, command
from vla_cli.console import Advance, Console
from vla_cli.surroundings import require

STEPS = 4000
PAIRS = 3
FOR_FIVE = ("vfd_two_way", "vfd_one_way", "action_l2", "decu", "decu_kl", "gu", "gu_jazbec")
"""Scores that are repeated with five members."""
PICTURED = ("vfd_two_way", "last_layer_vfd", "action_l2", "gu")
HEADLINE = (
    "vfd_one_way", "vfd_two_way", "last_layer_vfd", "action_l2", "gu", "decu", "ace", "entropy", "terminal_norm",
    "mode_distance",
)  # fmt: skip


def run(options: Options, console: Console) -> Result:
    """Train the members, compute the truth, rank the conditions by every score."""
    require("train")
    import torch

    from benchmarks.estimators.posterior import Posteriors
    from benchmarks.estimators.scores import SCORES, Question
    from benchmarks.toy2d import problem, table
    from benchmarks.toy2d.nets import Stack, train
    from benchmarks.toy2d.truth import truth_of

    torch.set_num_threads(1)
    data, c = problem.training_pairs(options.seed), problem.grid()
    distance = problem.support_distance(c, data[0])
    inside = distance < problem.INSIDE
    stack = Stack(range(2 * PAIRS))
    with console.progress("training members", STEPS) as advance:
        train(stack, data, steps=STEPS, seed=options.seed, progress=advance)
    draws, steps = (32, 15) if options.quick else (64, 20)
    with console.progress("true divergences", PAIRS) as advance:
        truths = {2 * i: _told(advance, truth_of, stack.member(2 * i), c, i, draws, steps) for i in range(PAIRS)}
    posteriors = {first: Posteriors(stack.member(first), data, first) for first in truths}

    def scored(ensemble: Stack, first: int, name: str) -> table.Scored:
        question = Question(ensemble, c, 100 + first, posteriors[first])
        began = time.perf_counter()
        values = SCORES[name](question)
        ms = 1000 * (time.perf_counter() - began) / len(c)
        return table.Scored(values, truths[first], inside, ms)

    rows: list[Mapping[str, Any]] = []
    pictures = {"true KL at t = .95": truths[0].kl95}
    with console.progress("scores", len(SCORES) + len(FOR_FIVE)) as advance:
        for name in SCORES:
            found = [scored(stack.select([first, first + 1]), first, name) for first in truths]
            rows.append(table.row(name, 2, found))
            if name in PICTURED:
                pictures[name] = found[0].values
            advance(1, name)
        rows.append(table.row("support_distance (oracle)", 0, [_support(distance, truths[0], inside)]))
        for name in FOR_FIVE:
            rows.append(table.row(name, 5, [scored(stack.select(range(5)), 0, name)]))
            advance(1, f"{name}, 5 members")
    if not options.quick:
        rows += _cheap_ensembles(console, stack, data, scored)
    table.draw(options.out / "toy2d.png", data[0], pictures)
    by_name = {r["score"]: r["kl95"] for r in rows if r["members"] == 2}
    headline = {name: float(by_name[name]) for name in HEADLINE}
    headline["vfd_two_way_5_members"] = float(next(r for r in rows if r["members"] == 5)["kl95"])
    headline["inside_share"] = float(np.mean(inside))
    title = "Spearman correlation with the true divergence of the acting member (kl95: of chunks blurred at t = .95)"
    return Result(title, table.COLUMNS, rows, headline)


def _cheap_ensembles(console: Console, stack: Any, data: Any, scored: Any) -> list[Mapping[str, Any]]:
    from benchmarks.toy2d import table
    from benchmarks.toy2d.ensembles import ENSEMBLES

    rows: list[Mapping[str, Any]] = []
    with console.progress("cheap ensembles", len(ENSEMBLES)) as advance:
        for name, make in ENSEMBLES.items():
            ensemble = make(stack.member(0), data, 7)
            rows.append(table.row(f"{name}: vfd_one_way", ensemble.members, [scored(ensemble, 0, "vfd_one_way")]))
            advance(1, name)
    return rows


def _support(distance: Any, truth: Any, inside: Any) -> Any:
    """What a policy cannot know: how far its training data are."""
    from benchmarks.toy2d import table

    return table.Scored(distance, truth, inside, 0.0)


def _told(advance: Advance, truth_of: Any, member: Any, c: Any, seed: int, draws: int, steps: int) -> Any:
    found = truth_of(member, c, seed, draws=draws, steps=steps)
    advance(1)
    return found


if __name__ == "__main__":
    sys.exit(command("toy2d", run, 0))
