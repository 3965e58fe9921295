"""What a task is: an instruction, the things on the table, and the goals to reach in order."""

from __future__ import annotations

from dataclasses import dataclass

from sim_node.shapes import Thing


@dataclass(frozen=True)
class Goal:
    """One relation to bring about: ``open``/``close`` a drawer, or put ``what`` ``in``/``on`` a target."""

    verb: str
    what: str
    target: str = ""


@dataclass(frozen=True)
class Task:
    """One instruction on one table.

    :param split: ``trained``, ``unseen`` (never trained, though each word is known), ``two_part``, or ``further``: for
        experiments that train policies of their own.
    :param drawers: travel of each drawer at the start (m).
    """

    instruction: str
    things: tuple[Thing, ...]
    goals: tuple[Goal, ...]
    split: str = "trained"
    cabinet: bool = False
    drawers: tuple[tuple[str, float], ...] = ()

    @property
    def horizon(self) -> int:
        """Control steps after which an episode has failed."""
        return 180 if len(self.goals) == 1 else 320

    @property
    def movable(self) -> str | None:
        """The thing that the first goal moves, if it stands free on the table."""
        what = self.goals[0].what
        return what if any(thing.name == what for thing in self.things) else None


def put(what: Thing, preposition: str, target: Thing, table: tuple[Thing, ...], split: str = "trained") -> Task:
    """``put the <what> <in|on> the <target>``."""
    goal = Goal(preposition, what.name, target.name)
    return Task(f"put the {what.name} {preposition} the {target.name}", table, (goal,), split)


def stack(what: Thing, target: Thing, table: tuple[Thing, ...], split: str = "trained") -> Task:
    """``stack the <what> on the <target>``."""
    return Task(f"stack the {what.name} on the {target.name}", table, (Goal("on", what.name, target.name),), split)
