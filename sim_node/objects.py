"""The things on the table, as data, and their MuJoCo geometry."""

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
    """

    height: float
    radius: float
    grasp_height: float = 0.0
    grasp_y: float = 0.0
    grasp_width: float = 0.0


KINDS = {
    "cube": Kind(0.044, 0.031, 0.022, 0, 0.044),
    "block": Kind(0.04, 0.044, 0.020, 0, 0.036),
    "can": Kind(0.08, 0.026, 0.055, 0, 0.052),
    "bottle": Kind(0.09, 0.025, 0.057, 0, 0.048),
    "mug": Kind(0.08, 0.034, 0.055, 0, 0.062),
    "bowl": Kind(0.052, 0.056, 0.038, -0.049, 0.010),
    "plate": Kind(0.012, 0.075),
    "basket": Kind(0.07, 0.11),
}


@dataclass(frozen=True)
class Thing:
    """One object of a scene: its name in instructions, its kind, its colour."""

    name: str
    kind: str
    colour: str

    @property
    def shape(self) -> Kind:
        return KINDS[self.kind]


THINGS = {
    thing.name: thing
    for thing in (
        Thing("red cube", "cube", "red"),
        Thing("green cube", "cube", "green"),
        Thing("blue block", "block", "blue"),
        Thing("soup can", "can", "silver"),
        Thing("sauce bottle", "bottle", "orange"),
        Thing("yellow mug", "mug", "yellow"),
        Thing("black bowl", "bowl", "black"),
        Thing("plate", "plate", "white"),
        Thing("basket", "basket", "wood"),
        Thing("orange cube", "cube", "orange"),
        Thing("purple block", "block", "purple"),
        Thing("white mug", "mug", "white"),
    )
}


def box(size: str, position: str, look: str, extra: str = "", density: float = 300) -> str:
    """A box geom; ``look`` holds colour and contact attributes."""
    return f'<geom type="box" size="{size}" pos="{position}" {extra} density="{density}" {look}/>'


def rgba(colour: str) -> str:
    """The ``rgba`` attribute of a named colour."""
    return 'rgba="{:.2f} {:.2f} {:.2f} 1"'.format(*COLOURS[colour])


def body_xml(thing: Thing) -> str:
    """A free body with the geoms of ``thing``."""
    geoms = "".join(_GEOMS[thing.kind](f"{rgba(thing.colour)} {SOLID}"))
    return f'<body name="{thing.name}"><freejoint name="{thing.name}"/>{geoms}</body>'


def _cylinder(radius: float, half: float, z: float, look: str, density: float = 300) -> str:
    return f'<geom type="cylinder" size="{radius} {half}" pos="0 0 {z}" density="{density}" {look}/>'


def _ring(n: int) -> Iterator[tuple[float, float, float]]:
    for i in range(n):
        angle = 2 * math.pi * i / n
        yield angle, math.cos(angle), math.sin(angle)


def _cube(look: str) -> Iterator[str]:
    yield box(".022 .022 .022", "0 0 .022", look)


def _block(look: str) -> Iterator[str]:
    yield box(".040 .018 .02", "0 0 .02", look)


def _can(look: str) -> Iterator[str]:
    yield _cylinder(0.026, 0.04, 0.04, look, 200)


def _bottle(look: str) -> Iterator[str]:
    yield _cylinder(0.024, 0.032, 0.032, look, 200)
    yield _cylinder(0.011, 0.013, 0.077, look, 100)


def _mug(look: str) -> Iterator[str]:
    yield _cylinder(0.028, 0.004, 0.004, look)
    for angle, c, s in _ring(10):
        place = f"{0.028 * c:.4f} {0.028 * s:.4f} .042"
        yield box(".003 .0095 .038", place, look, f'euler="0 0 {angle:.4f}"')
    yield box(".010 .004 .020", ".040 0 .045", look)


def _bowl(look: str) -> Iterator[str]:
    yield _cylinder(0.040, 0.004, 0.004, look, 250)
    lean = 0.12  # half the outward lean of the wall (rad)
    for angle, c, s in _ring(12):
        half_c, half_s = math.cos(angle / 2), math.sin(angle / 2)
        turn = (
            half_c * math.cos(lean),
            -half_s * math.sin(lean),
            half_c * math.sin(lean),
            half_s * math.cos(lean),
        )
        quat = " ".join(f"{x:.5f}" for x in turn)
        yield box(".0028 .0140 .025", f"{0.047 * c:.4f} {0.047 * s:.4f} .027", look, f'quat="{quat}"', 250)


def _plate(look: str) -> Iterator[str]:
    yield _cylinder(0.075, 0.006, 0.006, look, 500)


def _basket(look: str) -> Iterator[str]:
    width, half, thick = 0.075, 0.035, 0.004
    yield box(f"{width} {width} {thick}", f"0 0 {thick}", look, density=400)
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        size = f"{thick if x else width} {thick if y else width} {half}"
        yield box(size, f"{x * width} {y * width} {half}", look, density=400)


_GEOMS = {
    "cube": _cube,
    "block": _block,
    "can": _can,
    "bottle": _bottle,
    "mug": _mug,
    "bowl": _bowl,
    "plate": _plate,
    "basket": _basket,
}
