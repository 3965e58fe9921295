"""The beds that the study runs on: which tasks, which experts, and how much of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.experts import FIRST_TASKS
from benchmarks.report import Options
from vla_cli.console import Console

if TYPE_CHECKING:
    from benchmarks.calibration.study import Bed, Plan

LIBERO = Path("out/libero")
"""What has been made for LIBERO; its demonstrations are shared with the benchmark of failure detection."""

SPOKEN = ("put the soup can in the basket", "put the red cube on the plate", "put the red cube in the front drawer")
"""Tasks that are told in other words besides those of the pretraining."""


@dataclass(frozen=True)
class Setting:
    """A bed with everything made that the study begins with.

    :param pairs: of experts.
    """

    bed: Bed
    plan: Plan
    pairs: int


def tabletop(options: Options, console: Console) -> Setting:
    """All tasks of one part on the embedded bed; experts see through one frozen backbone."""
    from benchmarks.calibration.study import Bed, Plan
    from benchmarks.experts.heads import Training
    from benchmarks.experts.play import play
    from benchmarks.experts.workshop import open_workshop
    from sim_node.tasks import TASKS

    tasks = [task for task in TASKS.values() if task.split != "two_part"]
    texts = tuple(task.instruction for task in tasks)
    plan, demonstrations, iterations, pairs = Plan(
        texts, FIRST_TASKS, rounds=3, pretraining=20, episodes=8, spoken=(*FIRST_TASKS, *SPOKEN),
        first=Training(2000), tuning=Training(600, batch=128, rate=3e-4),
    ), 40, 5500, 3  # fmt: skip
    if options.quick:
        demonstrations, iterations, pairs = 16, 0, 2
        few = tuple(dict.fromkeys((*FIRST_TASKS, *texts)))[:10]
        plan = replace(plan, tasks=few, rounds=1, pretraining=16, episodes=4, spoken=FIRST_TASKS[:2])
    used = [task for task in tasks if task.instruction in plan.tasks]
    workshop = open_workshop(options.out / "experts", used, demonstrations, iterations, console)
    return Setting(Bed(workshop.demonstrations, play, workshop.backbone), plan, pairs)


def libero(options: Options, console: Console) -> Setting:
    """The tasks of LIBERO that our scripted expert can show; experts are told where things are.

    Episodes begin in initial states that no demonstration used.

    :raises InputError: when LIBERO or its assets are missing.
    """
    from benchmarks.calibration.study import Bed, Plan
    from benchmarks.experts.heads import Training
    from benchmarks.libero.experts import play, shown_tasks
    from benchmarks.libero.recordings import ATTEMPTS, RECORDED, recordings
    from sim_node.libero.demonstrations import STATES

    tasks, pairs = shown_tasks()[:: 3 if options.quick else 1], 2 if options.quick else 3
    texts = tuple(task.instruction for task in tasks)
    plan = Plan(
        texts, texts[::2], rounds=1, budget=30, pretraining=ATTEMPTS, episodes=4, first_seed=STATES,
        first=Training(8000), tuning=Training(1500, rate=3e-4),
    )  # fmt: skip
    if options.quick:
        plan = replace(plan, budget=10, episodes=2, first=Training(3000), tuning=Training(500, rate=3e-4))
    found = recordings(tasks, LIBERO / RECORDED, options.own["processes"], console)
    return Setting(Bed({one.task: one for one in found}, play), plan, pairs)


BEDS: dict[str, Callable[[Options, Console], Setting]] = {"tabletop": tabletop, "libero": libero}
