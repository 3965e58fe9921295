"""Experts that are told where things are, on LIBERO: the tasks that can be shown to them, and their episodes."""

from __future__ import annotations

import functools

from benchmarks.experts.play import Episode, Outcome, play_in
from benchmarks.libero.told import Told
from sim_node.libero.tasks import LiberoTask, benchmark_tasks

SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10")
NOT_SHOWN = frozenset({("libero_goal", 0), ("libero_goal", 3), ("libero_goal", 5)})
"""Besides those that the benchmark of failure detection leaves out. Drawers to pull open and a plate to push: the
scripted expert solves none of 8 and 1 of 4."""


def shown_tasks() -> tuple[LiberoTask, ...]:
    """All tasks that the scripted expert can show, suite by suite.

    :raises InputError: when LIBERO or its assets are missing.
    """
    return tuple(task for task in benchmark_tasks(SUITES) if (task.suite, task.index) not in NOT_SHOWN)


def play(episode: Episode) -> Outcome:
    """Play one episode; runs in a process of its own, which keeps the world of the last task."""
    return play_in(_told(), episode)


@functools.lru_cache(maxsize=1)
def _told() -> Told:
    from sim_node.libero.bed import LiberoBed

    return Told(LiberoBed(render=False))
