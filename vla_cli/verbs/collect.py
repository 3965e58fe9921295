"""``vla-monitor collect``: demonstrations of the scripted expert, what a policy is trained on."""

from __future__ import annotations

import argparse
from pathlib import Path

from vla_cli.console import Console, Report
from vla_cli.robots import FRANKA, ROBOTS
from vla_cli.surroundings import require
from vla_uq.errors import InputError

DEMONSTRATIONS = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How many of which tasks, into which folder."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="one file a task is written here")
    parser.add_argument("--robot", choices=tuple(ROBOTS), default=FRANKA, help=f"default: {FRANKA}")
    parser.add_argument("--split", default="trained", help="trained, unseen or two_part (default: trained)")
    parser.add_argument("--number", type=int, default=DEMONSTRATIONS, metavar="N", help="a task (default: 100)")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="default: 2")


def run(args: argparse.Namespace, console: Console) -> Report:
    """Record what is not there yet; a task's file is written when it is complete."""
    require("sim")
    from sim_node.demonstrations import collect
    from sim_node.tasks import of_split

    tasks = of_split(args.split, args.robot)
    if not tasks:
        raise InputError("no tasks", where="--split", expected="trained, unseen or two_part", found=args.split)
    if args.number < 1:
        raise InputError("out of range", where="--number", expected="at least 1", found=args.number)
    with console.progress("tasks", len(tasks)) as advance:
        paths = collect(tasks, args.number, args.out, args.processes, lambda path: advance(1, path.stem), args.robot)
    rows = [{"file": str(path), "megabytes": path.stat().st_size / 1e6} for path in paths]
    return Report(f"{args.number} demonstrations a task in {args.out}", ("file", "megabytes"), rows)
