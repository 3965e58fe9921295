"""What can go wrong with a scene, as data: each disturbance acts at the reset, or once in mid-episode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim_node.objects import COLOURS
from sim_node.placement import box_of
from sim_node.scene import Scene
from sim_node.tasks import Task, of_split
from vla_uq.errors import InputError

Push = Callable[[Scene, Task, np.random.Generator], bool]
DIMMED, PUSH_MIN, PUSH_MAX = 0.45, 0.07, 0.10


@dataclass(frozen=True)
class Disturbance:
    """:param outside: the instructed thing stands beyond the training box.
    :param light: factor on all lights.
    :param recolour: colour given to the instructed thing.
    :param push: tried at every control step from a random one on until it has happened.
    :param split: the tasks it is played on.
    :param needs_thing: only on tasks that move a free thing.
    """

    describe: str
    outside: bool = False
    light: float = 1.0
    recolour: str = ""
    push: Push | None = None
    split: str = "trained"
    needs_thing: bool = False

    def tasks(self) -> tuple[Task, ...]:
        """The tasks that this disturbance is defined for."""
        return tuple(task for task in of_split(self.split) if task.movable or not self.needs_thing)


def push_thing(scene: Scene, task: Task, rng: np.random.Generator) -> bool:
    """Move the instructed thing 7 to 10 cm, if it stands on the table and is not in the hand."""
    name = task.movable
    if name is None or scene.holds(task.goals[0]) or scene.place(name)[2] > 0.01:
        return False
    if np.linalg.norm(scene.position - scene.place(name)) < 0.06 and scene.width < 0.07:
        return False
    low, high = box_of(scene.cabinet)
    start = scene.place(name)[:2]
    others = [scene.place(other)[:2] for other in scene.things if other != name]
    for _ in range(100):
        angle = rng.uniform(0, 2 * np.pi)
        xy = start + rng.uniform(PUSH_MIN, PUSH_MAX) * np.array([np.cos(angle), np.sin(angle)])
        if _free(xy, low, high, others):
            scene.move(name, xy)
            return True
    return False


def _free(xy: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], others: list) -> bool:
    inside = bool((xy > low).all() and (xy < high).all())
    return inside and all(np.linalg.norm(xy - other) > 0.10 for other in others)


DISTURBANCES = {
    "none": Disturbance("the scene as trained"),
    "outside": Disturbance("the instructed object 3 to 8 cm beyond the trained region", outside=True, needs_thing=True),
    "push": Disturbance("the instructed object pushed 7 to 10 cm in mid-episode", push=push_thing, needs_thing=True),
    "lights": Disturbance(f"lights at {DIMMED:.0%}", light=DIMMED),
    "recolour": Disturbance("the instructed object in purple", recolour="purple", needs_thing=True),
    "unseen": Disturbance("an instruction never trained, every word of it known", split="unseen"),
}


def disturbance_of(name: str) -> Disturbance:
    """:raises InputError: when there is no such disturbance."""
    if name not in DISTURBANCES:
        raise InputError(
            "unknown disturbance", where="disturbance", expected=" | ".join(DISTURBANCES), found=repr(name)
        )
    return DISTURBANCES[name]


def colour_of(disturbance: Disturbance, task: Task) -> dict[str, tuple[float, float, float]]:
    """What to recolour in a scene of ``task``."""
    return {task.movable: COLOURS[disturbance.recolour]} if disturbance.recolour and task.movable else {}
