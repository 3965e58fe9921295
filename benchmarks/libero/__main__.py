"""``python -m benchmarks.libero demonstrations | train | rollouts``: the policy on LIBERO, step by step."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.libero import rollouts, training
from vla_cli.console import Console, Report
from vla_uq.errors import InputError

OUT = Path("out/libero")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one step; 0, or 2 on wrong input (one line on stderr)."""
    args = _parser().parse_args(argv)
    console = Console()
    try:
        console.show(args.run(args, console))
    except InputError as error:
        print(f"benchmarks.libero: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.libero", description=__doc__)
    steps = parser.add_subparsers(metavar="step", required=True)

    step = steps.add_parser("demonstrations", help="record the scripted expert, one file a task")
    step.add_argument("--out", type=Path, default=OUT / "demonstrations", metavar="DIR")
    step.add_argument("--number", type=int, default=training.DEMONSTRATIONS, metavar="N", help="a task (default: 20)")
    step.add_argument("--processes", type=int, default=2, metavar="N", help="default: 2")
    step.set_defaults(run=_demonstrations)

    step = steps.add_parser("train", help="train two members and export them")
    step.add_argument("--demonstrations", type=Path, default=OUT / "demonstrations", metavar="DIR")
    step.add_argument("--out", type=Path, default=OUT / "policy", metavar="DIR")
    step.add_argument("--seed", type=int, default=0, help="of the first member (default: 0)")
    step.add_argument("--iterations", type=int, default=training.ITERATIONS, metavar="N", help="default: %(default)s")
    step.set_defaults(run=_train)

    step = steps.add_parser("rollouts", help="play the policy on starts that no demonstration used")
    step.add_argument("--policy", type=Path, default=OUT / "policy", metavar="DIR")
    step.add_argument("--out", type=Path, default=OUT / "rollouts", metavar="DIR")
    step.add_argument("--nominal", type=int, default=rollouts.NOMINAL_EPISODES, metavar="N", help="episodes a task")
    step.add_argument(
        "--disturbed", type=int, default=rollouts.DISTURBED_EPISODES, metavar="N", help="a task and disturbance"
    )
    step.add_argument("--draws", type=int, default=10, metavar="N", help="chunks sampled an inference (default: 10)")
    step.add_argument("--processes", type=int, default=2, metavar="N", help="default: 2")
    step.set_defaults(run=_rollouts)
    return parser


def _demonstrations(args: argparse.Namespace, console: Console) -> Report:
    paths = training.demonstrations(args.out, args.number, args.processes, console)
    rows = [{"file": str(path), "megabytes": path.stat().st_size / 1e6} for path in paths]
    return Report(f"Demonstrations in {args.out}", ("file", "megabytes"), rows)


def _train(args: argparse.Namespace, console: Console) -> Report:
    seeds = (args.seed, args.seed + 1)
    return Report(
        f"Policy {training.train(args.demonstrations, args.out, seeds, args.iterations, console)} in {args.out}"
    )


def _rollouts(args: argparse.Namespace, console: Console) -> Report:
    options = rollouts.Options(args.policy, args.nominal, args.disturbed, args.draws, args.processes)
    return rollouts.summary(rollouts.collect(args.out, options, console))


if __name__ == "__main__":
    sys.exit(main())
