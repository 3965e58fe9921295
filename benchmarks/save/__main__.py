"""``python -m benchmarks.save``: rounds of demonstrations chosen by each strategy, and what they buy."""

from __future__ import annotations

import sys
from dataclasses import replace

from benchmarks.report import Options, Result, command
from vla_cli.console import Console
from vla_cli.surroundings import require

SEEDS, QUICK_SEEDS = 5, 2
QUICK = ("random", "diversity", "save_gu", "save_vfd")
OURS = "save_vfd"


def run(options: Options, console: Console) -> Result:
    """Do all rounds that are missing, and put them into the table."""
    require("sim", "train")
    from benchmarks.experts.heads import Training
    from benchmarks.experts.workshop import open_workshop
    from benchmarks.save import table
    from benchmarks.save.loop import Plan, Run
    from benchmarks.save.strategies import STRATEGIES
    from sim_node.tasks import of_split

    trained, further = of_split("trained"), (*of_split("unseen"), *of_split("further"))
    known, wanted = [t.instruction for t in trained], [t.instruction for t in further[::2]]
    plan = Plan(tuple(known), tuple(wanted), rounds=12)
    demonstrations, iterations = 40, 5500
    if options.quick:
        demonstrations, iterations = 16, 1500
        plan = replace(
            plan, known=tuple(known[:5]), wanted=tuple(wanted[:5]), rounds=4, pretraining=16, offered=16, episodes=5,
            first=Training(1200), tuning=Training(300, rate=3e-4),
        )  # fmt: skip
    names = QUICK if options.quick else tuple(STRATEGIES)
    used = (*plan.known, *plan.wanted) if options.quick else tuple(t.instruction for t in (*trained, *further))
    tasks = [t for t in (*trained, *further) if t.instruction in used]
    folder = options.out / ("save_quick" if options.quick else "save")
    workshop = open_workshop(options.out / "experts", tasks, demonstrations, iterations, console)
    seeds = range(options.seed, options.seed + (QUICK_SEEDS if options.quick else SEEDS))
    runs = [Run(workshop, plan, name, seed, folder, 2) for seed in seeds for name in names]
    with console.progress("rounds", sum(one.missing for one in runs)) as advance:
        for one in runs:
            while one.missing:
                done = one.advance()
                advance(1, f"{one.strategy} {one.seed} round {done.index}: success {done.mean:.2f}")
    found = table.curves([result for one in runs for result in one.results()])
    rows = [table.row(name, found[name]) for name in names]
    headline: dict[str, float] = {"seeds": len(seeds), "rounds": plan.rounds, "budget": plan.budget}
    for other, key in (("random", "saved_vs_random"), ("diversity", "saved_vs_diversity"), ("save_gu", "saved_vs_gu")):
        headline[key] = table.saved(found, OURS, other)
        headline[f"{key}_low"], headline[f"{key}_high"] = table.saved_interval(found, OURS, other)
    title = f"Active learning on {len(plan.wanted)} tasks, {plan.budget} demonstrations a round (success of member 0)"
    return Result(title, table.COLUMNS, rows, headline)


if __name__ == "__main__":
    sys.exit(command("save", run, 0))
