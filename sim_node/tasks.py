"""The tasks of each robot, as data."""

from __future__ import annotations

from sim_node.goals import Goal, Task
from sim_node.objects import THINGS, Thing
from sim_node.widowx import tasks as widowx
from vla_uq.errors import InputError

__all__ = ["FRANKA", "TASKS", "TASKS_OF", "Goal", "Task", "of_split", "task_of", "tasks_of"]

FRANKA = "franka"


def _table(*names: str) -> tuple[Thing, ...]:
    return tuple(THINGS[name] for name in names)


GROCERY = _table("red cube", "soup can", "sauce bottle", "yellow mug", "basket")
DINNER = _table("green cube", "blue block", "black bowl", "plate", "yellow mug")
BLOCKS = _table("red cube", "green cube", "blue block", "plate")
OFFICE = _table("red cube", "black bowl")
KITCHEN = _table("soup can", "sauce bottle", "plate", "black bowl")
TOYS = _table("orange cube", "purple block", "white mug", "basket")
PICNIC = _table("orange cube", "purple block", "plate", "black bowl")


def _place(
    what: str,
    preposition: str,
    target: str,
    things: tuple[Thing, ...],
    split: str = "trained",
    drawers: tuple[tuple[str, float], ...] = (),
) -> Task:
    text = f"put the {what} {preposition} the {target}"
    goal = Goal(preposition, what, target)
    return Task(text, things, (goal,), split, things is OFFICE, drawers)


def _stack(what: str, target: str, things: tuple[Thing, ...] = BLOCKS, split: str = "trained") -> Task:
    return Task(f"stack the {what} on the {target}", things, (Goal("on", what, target),), split)


def _drawer(verb: str, which: str, split: str = "trained") -> Task:
    start = ((which, 0.13),) if verb == "close" else ()
    return Task(f"{verb} the {which}", OFFICE, (Goal(verb, which),), split, True, start)


_TASKS = (
    _place("red cube", "in", "basket", GROCERY),
    _place("soup can", "in", "basket", GROCERY),
    _place("sauce bottle", "in", "basket", GROCERY),
    _place("yellow mug", "in", "basket", GROCERY),
    _place("black bowl", "on", "plate", DINNER),
    _place("green cube", "on", "plate", DINNER, "unseen"),
    _place("blue block", "on", "plate", DINNER),
    _place("green cube", "in", "black bowl", DINNER),
    _place("yellow mug", "on", "plate", DINNER, "unseen"),
    _stack("red cube", "green cube"),
    _stack("green cube", "red cube", split="unseen"),
    _place("red cube", "on", "plate", BLOCKS),
    _drawer("open", "front drawer"),
    _drawer("open", "back drawer"),
    _drawer("close", "front drawer"),
    _drawer("close", "back drawer", "unseen"),
    _place("red cube", "in", "front drawer", OFFICE, drawers=(("front drawer", 0.14),)),
    _place("black bowl", "on", "cabinet", OFFICE, "unseen"),
    Task(
        "put the soup can and the red cube in the basket",
        GROCERY,
        (Goal("in", "soup can", "basket"), Goal("in", "red cube", "basket")),
        "two_part",
    ),
    Task(
        "put the red cube and the green cube on the plate",
        BLOCKS,
        (Goal("on", "red cube", "plate"), Goal("on", "green cube", "plate")),
        "two_part",
    ),
    Task(
        "put the red cube in the back drawer and close it",
        OFFICE,
        (Goal("in", "red cube", "back drawer"), Goal("close", "back drawer")),
        "two_part",
        True,
        (("back drawer", 0.14),),
    ),
    *(
        _stack(what, target, split="further")
        for what, target in (
            ("red cube", "blue block"),
            ("green cube", "blue block"),
            ("blue block", "red cube"),
            ("blue block", "green cube"),
        )
    ),
    _place("blue block", "in", "black bowl", DINNER, "further"),
    _place("red cube", "in", "black bowl", OFFICE, "further"),
    _place("red cube", "on", "cabinet", OFFICE, "further"),
    _place("red cube", "in", "back drawer", OFFICE, "further", (("back drawer", 0.14),)),
    *(_place(what, "on", "plate", KITCHEN, "further") for what in ("soup can", "sauce bottle")),
    *(_place(what, "in", "basket", TOYS, "further") for what in ("orange cube", "purple block", "white mug")),
    *(_place(what, "on", "plate", PICNIC, "further") for what in ("orange cube", "purple block")),
    *(_place(what, "in", "black bowl", PICNIC, "further") for what in ("orange cube", "purple block")),
    _stack("orange cube", "purple block", PICNIC, "further"),
    _stack("purple block", "orange cube", PICNIC, "further"),
)
TASKS = {task.instruction: task for task in _TASKS}
"""The Franka's tasks by instruction."""
TASKS_OF = {FRANKA: TASKS, "widowx": widowx.TASKS}
"""Every robot's tasks by instruction."""


def tasks_of(robot: str) -> dict[str, Task]:
    """The tasks of a robot by instruction.

    :raises InputError: when there is no such robot.
    """
    if robot not in TASKS_OF:
        raise InputError("unknown robot", where="robot", expected=" | ".join(TASKS_OF), found=repr(robot))
    return TASKS_OF[robot]


def of_split(split: str, robot: str = FRANKA) -> tuple[Task, ...]:
    """The tasks of one split, in order."""
    return tuple(task for task in tasks_of(robot).values() if task.split == split)


def task_of(instruction: str, robot: str = FRANKA) -> Task:
    """:raises InputError: when the robot has no such task."""
    tasks = tasks_of(robot)
    if instruction not in tasks:
        raise InputError(
            "unknown task",
            where="task",
            expected="one of `vla-monitor tasks`",
            found=repr(instruction),
            remedy="list them with: vla-monitor tasks",
        )
    return tasks[instruction]
