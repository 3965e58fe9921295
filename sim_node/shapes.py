"""What things are made of: shape classes, colours, and the geoms of MuJoCo that they are put together from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

COLOURS = {
    "red": (0.85, 0.15, 0.12),
    "green": (0.2, 0.65, 0.25),
    "blue": (0.15, 0.35, 0.8),
    "yellow": (0.95, 0.8, 0.15),
    "white": (0.95, 0.95, 0.93),
    "black": (0.12, 0.12, 0.13),
    "wood": (0.65, 0.45, 0.25),
    "silver": (0.62, 0.64, 0.7),
    "orange": (0.95, 0.5, 0.1),
    "purple": (0.65, 0.2, 0.75),
    "aubergine": (0.25, 0.1, 0.3),
    "brown": (0.45, 0.25, 0.12),
}
SOLID = 'contype="1" conaffinity="1" friction="1 .05 .001" condim="4"'


@dataclass(frozen=True)
class Kind:
    """Shape class of an object (m). Origin: centre of the resting face.

    :param height: top above the table.
    :param radius: of the footprint.
    :param grasp_height: grip point above the origin.
    :param grasp_y: grip point beside the origin (a bowl is held by its rim).
    :param grasp_width: distance of the fingers when held; 0: cannot be grasped.
    :param reach: half of its length along x and of its width along y, where they are less than the radius.
    :param near: on it is what has its origin within so much of the centre.
    :param inside: in it is what has its origin within so much of the centre in x and y, and below so much in z.
    :param release: height above its origin at which a thing's origin is let go; by default its own height.
    :param clear: lowest grip point above the table over it: the hand must clear its walls.
    """

    height: float
    radius: float
    grasp_height: float = 0.0
    grasp_y: float = 0.0
    grasp_width: float = 0.0
    reach: tuple[float, float] | None = None
    near: float = 0.025
    inside: tuple[float, float] = (0.032, 0.03)
    release: float | None = None
    clear: float = 0.0

    @property
    def half(self) -> tuple[float, float]:
        """Half of the length along x, and of the width along y."""
        return self.reach or (self.radius, self.radius)


@dataclass(frozen=True)
class Thing:
    """One object of a scene: its name in instructions, its kind, its colour."""

    name: str
    kind: str
    colour: str


def rgba(colour: str) -> str:
    """The ``rgba`` attribute of a named colour."""
    return 'rgba="{:.2f} {:.2f} {:.2f} 1"'.format(*COLOURS[colour])


def box(size: str, position: str, look: str, extra: str = "", density: float = 300) -> str:
    """A box geom; ``look`` holds colour and contact attributes."""
    return f'<geom type="box" size="{size}" pos="{position}" {extra} density="{density}" {look}/>'


def cylinder(radius: float, half: float, z: float, look: str, density: float = 300) -> str:
    """An upright cylinder around the origin."""
    return f'<geom type="cylinder" size="{radius} {half}" pos="0 0 {z}" density="{density}" {look}/>'


def ring(n: int) -> Iterator[tuple[float, float, float]]:
    """Angle, cosine and sine of ``n`` places on a circle."""
    for i in range(n):
        angle = 2 * math.pi * i / n
        yield angle, math.cos(angle), math.sin(angle)


def tray(half: float, wall: float, thick: float, look: str, density: float = 400) -> Iterator[str]:
    """A square box without a lid: half of its width, half of the walls' height and thickness (m)."""
    yield box(f"{half} {half} {thick}", f"0 0 {thick}", look, density=density)
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        size = f"{thick if x else half} {thick if y else half} {wall}"
        yield box(size, f"{x * half} {y * half} {wall}", look, density=density)
