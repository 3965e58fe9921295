"""What can go wrong with a scene, as data: each disturbance acts at the reset, or once in mid-episode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sim_node.objects import COLOURS
from sim_node.placement import box_of, has_room
from sim_node.tasks import FRANKA, Task, of_split
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from sim_node.scene import Scene  # tasks and disturbances can be listed where nothing can be simulated

Push = Callable[["Scene", Task, np.random.Generator], bool]
DIMMED, PUSH_MIN, PUSH_MAX, PUSH_APART = 0.45, 0.07, 0.10, 0.10


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

    def tasks(self, robot: str = FRANKA) -> tuple[Task, ...]:
        """The tasks of a robot that this disturbance is defined for."""
        return tuple(task for task in of_split(self.split, robot) if task.movable or not self.needs_thing)

    def check(self, task: Task) -> None:
        """:raises InputError: when there is nothing in ``task`` that it could disturb."""
        if (self.needs_thing and task.movable is None) or (self.split == "unseen" and task.split != "unseen"):
            raise InputError(
                f"not a task for: {self.describe}",
                where="disturbance",
                expected="a task that moves a free object" if self.needs_thing else "an unseen task",
                found=repr(task.instruction),
                remedy="list them with: vla-monitor tasks",
            )


def push_thing(scene: Scene, task: Task, rng: np.random.Generator) -> bool:
    """Move the instructed thing 7 to 10 cm, if it stands on the table and is not in the hand."""
    name = task.movable
    if name is None or scene.holds(task.goals[0]) or scene.place(name)[2] > 0.01:
        return False
    if np.linalg.norm(scene.position - scene.place(name)) < 0.06 and scene.gap < 0.875 * scene.robot.wide:
        return False
    low, high = box_of(scene.cabinet, scene.robot)
    hand = scene.robot.hand
    start, thing = scene.place(name)[:2], scene.things[name]
    others = [(other, scene.place(other.name)[:2]) for other in scene.things.values() if other is not thing]
    for roomy in (True, False):  # where the hand reaches it; on a crowded table at least apart
        for _ in range(100):
            angle = rng.uniform(0, 2 * np.pi)
            xy = start + rng.uniform(PUSH_MIN, PUSH_MAX) * np.array([np.cos(angle), np.sin(angle)])
            apart = all(np.linalg.norm(xy - place) > PUSH_APART for _, place in others)
            if (xy > low).all() and (xy < high).all() and (has_room(thing, xy, others, hand) if roomy else apart):
                scene.move(name, xy)
                return True
    return False


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
