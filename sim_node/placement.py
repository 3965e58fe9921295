"""Where things stand at the start: uniformly in the training box, with room for the hand around each."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sim_node.objects import Thing, shape_of
from sim_node.panda import PANDA
from sim_node.robot import Hand, Robot

Vector = NDArray[np.float64]
OUTSIDE_MIN, OUTSIDE_MAX = 0.03, 0.08
"""How far beyond the box an ``outside`` thing stands (m)."""


def box_of(cabinet: bool, robot: Robot = PANDA) -> tuple[Vector, Vector]:
    """Lower and upper corner (2,) of the training box (m)."""
    return robot.box_cabinet if cabinet else robot.box


def place_things(
    things: tuple[Thing, ...], cabinet: bool, robot: Robot, rng: np.random.Generator, outside: str | None = None
) -> dict[str, Vector]:
    """Draw a place (2,) for every thing, the largest first.

    :param outside: a thing to put beyond the training box instead.
    """
    low, high = box_of(cabinet, robot)
    order = sorted(things, key=lambda thing: -shape_of(thing).radius)
    for _ in range(500):
        placed: dict[str, tuple[Thing, Vector]] = {}
        for thing in order:
            margin = 0.04 if shape_of(thing).radius > 0.07 else 0.0
            for _ in range(60):
                xy = rng.uniform(low + margin, high - margin)
                if thing.name == outside:
                    xy = _beyond(rng, low, high, cabinet)
                if has_room(thing, xy, placed.values(), robot.hand):
                    placed[thing.name] = (thing, xy)
                    break
            else:
                break
        if len(placed) == len(things):
            return {name: xy for name, (_, xy) in placed.items()}
    raise RuntimeError(f"no room on the table for {[thing.name for thing in things]}")


def _beyond(rng: np.random.Generator, low: Vector, high: Vector, cabinet: bool) -> Vector:
    while True:
        xy = rng.uniform(low - OUTSIDE_MAX, high + OUTSIDE_MAX)
        out = ((xy < low - OUTSIDE_MIN) | (xy > high + OUTSIDE_MIN)).any()
        if out and not (cabinet and xy[1] >= high[1]):
            return np.asarray(xy)


def has_room(thing: Thing, xy: Vector, placed: Iterable[tuple[Thing, Vector]], hand: Hand = PANDA.hand) -> bool:
    """No overlap, room for the open fingers beside what is graspable, no tall neighbour under the palm."""
    mine = shape_of(thing)
    for other, place in placed:
        theirs = shape_of(other)
        dx, dy = np.abs(xy - place)
        if np.hypot(dx, dy) < mine.radius + theirs.radius + 0.012:
            return False
        for me, you in ((mine, theirs), (theirs, mine)):
            length, width = you.half
            side = hand.beside + abs(me.grasp_y) + width
            if me.grasp_width and dx < hand.half_x + length and dy < side:
                return False
        tall, low = max(mine.height, theirs.height), min(mine.height, theirs.height)
        radius = theirs.radius if mine.height < theirs.height else mine.radius
        if tall > hand.clearance > low and dx < hand.half_x + radius + 0.01 and dy < hand.half_y + radius + 0.01:
            return False
    return True
