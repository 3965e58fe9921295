"""The things on the table, as data, and their MuJoCo geometry."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sim_node.shapes import COLOURS, SOLID, Kind, Thing, box, cylinder, rgba, ring, tray
from sim_node.widowx import kitchen

__all__ = ["COLOURS", "KINDS", "THINGS", "Kind", "Thing", "body_xml", "shape_of"]

KINDS = {
    "cube": Kind(0.044, 0.031, 0.022, 0, 0.044),
    "block": Kind(0.04, 0.044, 0.020, 0, 0.036),
    "can": Kind(0.08, 0.026, 0.055, 0, 0.052),
    "bottle": Kind(0.09, 0.025, 0.057, 0, 0.048),
    "mug": Kind(0.08, 0.034, 0.055, 0, 0.062),
    "bowl": Kind(0.052, 0.056, 0.038, -0.049, 0.010, release=0.022),
    "plate": Kind(0.012, 0.075, near=0.055),
    "basket": Kind(0.07, 0.11, reach=(0.08, 0.08), inside=(0.07, 0.045), release=0.022, clear=0.055),
    **kitchen.KINDS,
}

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


def shape_of(thing: Thing) -> Kind:
    """The shape class of a thing."""
    return KINDS[thing.kind]


def body_xml(thing: Thing) -> str:
    """A free body with the geoms of ``thing``."""
    geoms = "".join(_GEOMS[thing.kind](f"{rgba(thing.colour)} {SOLID}"))
    return f'<body name="{thing.name}"><freejoint name="{thing.name}"/>{geoms}</body>'


def _cube(look: str) -> Iterator[str]:
    yield box(".022 .022 .022", "0 0 .022", look)


def _block(look: str) -> Iterator[str]:
    yield box(".040 .018 .02", "0 0 .02", look)


def _can(look: str) -> Iterator[str]:
    yield cylinder(0.026, 0.04, 0.04, look, 200)


def _bottle(look: str) -> Iterator[str]:
    yield cylinder(0.024, 0.032, 0.032, look, 200)
    yield cylinder(0.011, 0.013, 0.077, look, 100)


def _mug(look: str) -> Iterator[str]:
    yield cylinder(0.028, 0.004, 0.004, look)
    for angle, c, s in ring(10):
        place = f"{0.028 * c:.4f} {0.028 * s:.4f} .042"
        yield box(".003 .0095 .038", place, look, f'euler="0 0 {angle:.4f}"')
    yield box(".010 .004 .020", ".040 0 .045", look)


def _bowl(look: str) -> Iterator[str]:
    yield cylinder(0.040, 0.004, 0.004, look, 250)
    lean = 0.12  # half the outward lean of the wall (rad)
    for angle, c, s in ring(12):
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
    yield cylinder(0.075, 0.006, 0.006, look, 500)


def _basket(look: str) -> Iterator[str]:
    return tray(0.075, 0.035, 0.004, look)


_GEOMS = {
    "cube": _cube,
    "block": _block,
    "can": _can,
    "bottle": _bottle,
    "mug": _mug,
    "bowl": _bowl,
    "plate": _plate,
    "basket": _basket,
    **kitchen.GEOMS,
}
