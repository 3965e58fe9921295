"""``vla-monitor tasks``: what the simulated table-top can play."""

from __future__ import annotations

import argparse

from vla_cli.console import Console, Report
from vla_cli.robots import FRANKA, ROBOTS
from vla_cli.surroundings import require


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose tasks."""
    parser.add_argument("--robot", choices=tuple(ROBOTS), default=FRANKA, help=f"default: {FRANKA}")


def run(args: argparse.Namespace, console: Console) -> Report:
    """List the tasks, and the disturbances under which each can be played."""
    require("sim")
    from sim_node.disturbances import DISTURBANCES
    from sim_node.tasks import tasks_of

    played = {name: disturbance.tasks(args.robot) for name, disturbance in DISTURBANCES.items()}
    rows = [
        {
            "instruction": task.instruction,
            "split": task.split,
            "horizon": task.horizon,
            "disturbances": " ".join(name for name, tasks in played.items() if task in tasks) or "–",
        }
        for task in tasks_of(args.robot).values()
    ]
    described = {name: disturbance.describe for name, disturbance in DISTURBANCES.items()}
    return Report(
        "Tasks of the simulated table-top (horizon in control steps of 50 ms)",
        ("instruction", "split", "horizon", "disturbances"),
        rows,
        data={"disturbances": described},
        notes=["", "Disturbances:", *(f"  {name:10} {text}" for name, text in described.items())],
    )
