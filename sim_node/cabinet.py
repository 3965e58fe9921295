"""A cabinet with two drawers that open towards the robot's right (−y)."""

from __future__ import annotations

from sim_node.shapes import COLOURS, box

BAR_Y, BAR_Z = -0.175, 0.066
"""The handle bar in the frame of a drawer (m)."""
HEIGHT = 0.085
OPEN_AT, CLOSED_AT = 0.11, 0.006
"""A drawer counts as open above the one, as closed below the other (m of travel)."""
CABINET_Y = 0.30
DRAWERS = {"front drawer": 0.078, "back drawer": -0.078}
"""Drawer to its x (m)."""

_CONTACT = 'contype="1" conaffinity="1"'
_GHOST = 'contype="0" conaffinity="0"'
_WOOD = 'rgba="{:.2f} {:.2f} {:.2f} 1" '.format(*COLOURS["wood"]) + _CONTACT
_PALE = f'rgba=".80 .62 .40 1" {_CONTACT}'
_METAL = 'rgba=".8 .8 .82 1"'


def _drawer_xml(name: str, x: float) -> str:
    parts = [
        box(".064 .006 .032", "0 -.099 .040", _PALE, density=200),
        box(".060 .08 .003", "0 -.013 .011", _PALE, density=200),
        box(".003 .08 .026", ".058 -.013 .036", _PALE, density=200),
        box(".003 .08 .026", "-.058 -.013 .036", _PALE, density=200),
        box(".045 .006 .008", f"0 {BAR_Y} {BAR_Z}", f'{_METAL} {_CONTACT} friction="1.5 .05 .001"', density=200),
        *(
            box(".005 .037 .004", f"{side * 0.035} -.138 {BAR_Z}", f"{_METAL} {_GHOST}", density=200)
            for side in (1, -1)
        ),
    ]
    slide = f'<joint name="{name}" type="slide" axis="0 -1 0" range="-0.005 .16" damping="25"/>'
    return f'<body name="{name}" pos="{x} 0 0">{slide}{"".join(parts)}</body>'


def cabinet_xml() -> str:
    """The body of the cabinet; each drawer's joint bears the drawer's name."""
    shell = [
        box(".155 .006 .04", "0 .094 .04", _WOOD, density=200),
        *(box(".005 .09 .04", f"{x} 0 .04", _WOOD, density=200) for x in (0.151, -0.151, 0)),
        box(".158 .096 .003", f"0 0 {HEIGHT - 0.003}", _WOOD, density=200),
    ]
    drawers = "".join(_drawer_xml(name, x) for name, x in DRAWERS.items())
    return f'<body name="cabinet" pos="0 {CABINET_Y} 0">{"".join(shell)}{drawers}</body>'
