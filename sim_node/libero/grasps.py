"""Where to take a thing from above: a search over heights, directions and offsets of the fingers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim_node.libero.shapes import cloud, everything_but
from sim_node.libero.world import World

Vector = NDArray[np.float64]
WIDEST = 0.072
"""The widest thing that the fingers take (m)."""
_DEPTHS = (0.045, 0.035, 0.025, 0.018)
"""How far below the top the grip point goes (m)."""
_YAWS = np.arange(-np.pi / 2, np.pi / 2, np.pi / 12)


@dataclass(frozen=True, eq=False)
class Grasp:
    """:param point: grip point (3,) m, world frame.
    :param yaw: direction in which the fingers close (rad).
    """

    point: Vector
    yaw: float


def grasp_of(world: World, name: str) -> Grasp | None:
    """The best grasp that touches nothing else; failing that the best of all; ``None`` when there is none."""
    points, mass_centre = cloud(world, world.bodies[name]), world.data.xipos[world.bodies[name]][:2]
    return _search(points, mass_centre, everything_but(world, name)) or _search(points, mass_centre, np.zeros((0, 3)))


def _search(points: Vector, mass_centre: Vector, others: Vector) -> Grasp | None:
    low, high = points.min(0), points.max(0)
    centre = (low + high)[:2] / 2
    offsets = list(_offsets(float((high - low)[:2].max())))
    best: tuple[float, Grasp] | None = None
    for depth in _DEPTHS:
        z = min(max(high[2] - depth, low[2] + 0.008), high[2] - 0.006)
        held, near = points[points[:, 2] > z - 0.012, :2], others[others[:, 2] > z - 0.014, :2]
        for yaw in _YAWS:
            along = np.array([np.cos(yaw), np.sin(yaw)])
            across = np.array([-along[1], along[0]])
            mine, theirs = held @ np.stack([along, across], 1), near @ np.stack([along, across], 1)
            for offset in offsets:
                place = centre + offset
                shift = np.array([place @ along, place @ across])
                span = _span(mine - shift, theirs - shift)
                if span is None:
                    continue
                left, right, count = span
                score = (
                    0.8 * depth
                    - 2 * abs(left + right)
                    - 0.6 * float(np.linalg.norm(place - mass_centre))
                    - max(0.0, right - left - 0.03)
                    - 0.03 * min(abs(yaw - square) for square in (0, np.pi / 2, -np.pi / 2)) / 1.57
                    + 0.01 * min(1.0, count / 20)
                )
                if best is None or score > best[0]:
                    middle = place + along * (left + right) / 2
                    best = score, Grasp(np.array([*middle, z]), float(yaw))
    return None if best is None else best[1]


def _span(mine: Vector, theirs: Vector) -> tuple[float, float, int] | None:
    """What lies between the fingers, first and last coordinate and number of points; ``None`` if they would collide.

    :param mine: points (N, 2) of the thing, along and across the closing direction.
    :param theirs: points of everything else.
    """
    x, strip = np.abs(mine[:, 0]), np.abs(mine[:, 1]) < 0.013
    between = mine[strip & (x < 0.041), 0]
    if len(between) < 3 or (strip & (x >= 0.038) & (x < 0.062)).any():
        return None
    left, right = float(between.min()), float(between.max())
    if right - left > WIDEST or ((np.abs(theirs[:, 1]) < 0.016) & (np.abs(theirs[:, 0]) < 0.068)).any():
        return None
    return left, right, len(between)


def _offsets(extent: float) -> Iterator[Vector]:
    yield np.zeros(2)
    for radius in np.arange(0.006, extent / 2 + 0.004, 0.006):
        for angle in np.arange(0, 2 * np.pi, np.pi / 12):
            yield radius * np.array([np.cos(angle), np.sin(angle)])
