"""Where things stand at the start: uniformly in the training box, with room for the hand around each."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sim_node.objects import Thing
from sim_node.panda import PALM_HALF_X, PALM_HALF_Y

Vector = NDArray[np.float64]
BOX_LOW = np.array([-0.15, -0.24])
BOX_HIGH, BOX_HIGH_CABINET = np.array([0.13, 0.22]), np.array([0.13, -0.06])
OUTSIDE_MIN, OUTSIDE_MAX = 0.03, 0.08
"""How far beyond the box an ``outside`` thing stands (m)."""


def box_of(cabinet: bool) -> tuple[Vector, Vector]:
    """Lower and upper corner (2,) of the training box (m)."""
    return BOX_LOW, BOX_HIGH_CABINET if cabinet else BOX_HIGH


def place_things(
    things: tuple[Thing, ...], cabinet: bool, rng: np.random.Generator, outside: str | None = None
) -> dict[str, Vector]:
    """Draw a place (2,) for every thing, the largest first.

    :param outside: a thing to put beyond the training box instead.
    """
    low, high = box_of(cabinet)
    order = sorted(things, key=lambda thing: -thing.shape.radius)
    for _ in range(500):
        placed: dict[str, tuple[Thing, Vector]] = {}
        for thing in order:
            margin = 0.04 if thing.shape.radius > 0.07 else 0.0
            for _ in range(60):
                xy = rng.uniform(low + margin, high - margin)
                if thing.name == outside:
                    xy = _beyond(rng, low, high, cabinet)
                if has_room(thing, xy, placed.values()):
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


def has_room(thing: Thing, xy: Vector, placed: Iterable[tuple[Thing, Vector]]) -> bool:
    """No overlap, room for the open fingers beside what is graspable, no tall neighbour under the palm."""
    mine = thing.shape
    for other, place in placed:
        theirs = other.shape
        dx, dy = np.abs(xy - place)
        if np.hypot(dx, dy) < mine.radius + theirs.radius + 0.012:
            return False
        for me, you in ((thing, other), (other, thing)):
            reach = 0.08 if you.kind == "basket" else you.shape.radius
            side = 0.064 + abs(me.shape.grasp_y) + reach
            if me.shape.grasp_width and dx < 0.022 + reach and dy < side:
                return False
        tall, low = max(mine.height, theirs.height), min(mine.height, theirs.height)
        radius = theirs.radius if mine.height < theirs.height else mine.radius
        if tall > 0.06 > low and dx < PALM_HALF_X + radius + 0.01 and dy < PALM_HALF_Y + radius + 0.01:
            return False
    return True
