"""Which episodes are run and from which seeds: one place, so that no seed serves two purposes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from vla_cli.robots import FRANKA
from vla_uq.errors import InputError

NOMINAL = "none"
TRAINED_ON = (NOMINAL, "outside", "push")
"""Disturbances whose failures the detectors learn from."""
HELD_OUT = ("lights", "recolour", "unseen")
"""Disturbances that no part of a bundle has seen."""


@dataclass(frozen=True)
class Seeds:
    """The seeds kept for one purpose: ``first`` up to the next purpose's."""

    first: int
    purpose: str


SEEDS = {
    "demonstrations": Seeds(0, "scripted demonstrations that the policy is trained on"),
    "train": Seeds(100_000, "rollouts that the detectors are trained on"),
    "calibrate": Seeds(200_000, "rollouts that thresholds are calibrated on"),
    "demo": Seeds(300_000, "episodes of the demo"),
    "benchmark": Seeds(400_000, "episodes of the benchmarks"),
}
SPAN = 100_000


@dataclass(frozen=True)
class Episode:
    """One episode to run: everything that its outcome depends on beside policy and bundle.

    :param mode: ``shadow`` (scores, halts nothing) or ``guard``.
    """

    task: str
    seed: int
    disturbance: str = NOMINAL
    mode: str = "shadow"

    @property
    def id(self) -> str:
        """Unique among episodes of one mode, and usable as a file name."""
        task = re.sub(r"[^a-z0-9]+", "_", self.task.lower()).strip("_")
        return f"{self.disturbance}-{task}-{self.seed}"


def seeds_for(purpose: str, count: int) -> range:
    """The first ``count`` seeds of a purpose.

    :raises InputError: when the range is empty or reaches into the next purpose's.
    """
    if not 1 <= count <= SPAN:
        raise InputError("number of episodes is out of range", where=purpose, expected=f"1..{SPAN}", found=count)
    return range(SEEDS[purpose].first, SEEDS[purpose].first + count)


def episodes(
    disturbances: Iterable[str], seeds: range, tasks: Iterable[str] = (), mode: str = "shadow", robot: str = FRANKA
) -> list[Episode]:
    """Every task of every disturbance with every seed; one task's episodes follow each other.

    :param tasks: only these instructions, where a disturbance is played on them; all when empty.
    :param robot: whose tasks.
    :raises InputError: on an unknown disturbance or task, or when no episode is left.
    """
    from sim_node.disturbances import disturbance_of
    from sim_node.tasks import task_of

    wanted = {task_of(text, robot).instruction for text in tasks}
    found = [
        Episode(task.instruction, seed, name, mode)
        for name in disturbances
        for task in disturbance_of(name).tasks(robot)
        if not wanted or task.instruction in wanted
        for seed in seeds
    ]
    if not found:
        raise InputError("no episode fits", where="tasks and disturbances", remedy="see `vla-monitor tasks`")
    return found
