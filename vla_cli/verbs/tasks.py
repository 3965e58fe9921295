"""``vla-monitor tasks``: what the simulated table-top can play."""

from __future__ import annotations

import argparse

from vla_cli.console import Console, Report
from vla_cli.surroundings import require


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def run(args: argparse.Namespace, console: Console) -> Report:
    """List the tasks, and the disturbances under which each can be played."""
    require("sim")
    from sim_node.disturbances import DISTURBANCES
    from sim_node.tasks import TASKS

    played = {name: disturbance.tasks() for name, disturbance in DISTURBANCES.items()}
    rows = [
        {
            "instruction": task.instruction,
            "split": task.split,
            "horizon": task.horizon,
            "disturbances": " ".join(name for name, tasks in played.items() if task in tasks) or "–",
        }
        for task in TASKS.values()
    ]
    described = {name: disturbance.describe for name, disturbance in DISTURBANCES.items()}
    return Report(
        "Tasks of the simulated table-top (horizon in control steps of 50 ms)",
        ("instruction", "split", "horizon", "disturbances"),
        rows,
        data={"disturbances": described},
        notes=["", "Disturbances:", *(f"  {name:10} {text}" for name, text in described.items())],
    )
