"""Descriptions (URDF) of the arms that we know, from public numbers: for simulation, tests, and profiles that name one.

A lab's own robot publishes its description, with its calibration and its tool; these hold geometry and joint limits
only, without meshes and masses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from vla_uq.errors import InputError

Triple = tuple[float, float, float]
_QUARTER = math.pi / 2


@dataclass(frozen=True)
class _Joint:
    """A revolute joint: origin in its parent (m, roll pitch yaw rad), axis, limits (rad), velocity (rad/s), effort."""

    origin: Triple
    turn: Triple
    axis: str
    lower: float
    upper: float
    velocity: float
    effort: float


def _franka(lower: Sequence[float], upper: Sequence[float], velocity: Sequence[float]) -> tuple[_Joint, ...]:
    """Panda and FR3 share their Denavit–Hartenberg values: d1 .333, d3 .316, a4 .0825, d5 .384, a7 .088."""
    places: tuple[tuple[Triple, float], ...] = (
        ((0, 0, 0.333), 0),
        ((0, 0, 0), -_QUARTER),
        ((0, -0.316, 0), _QUARTER),
        ((0.0825, 0, 0), _QUARTER),
        ((-0.0825, 0.384, 0), -_QUARTER),
        ((0, 0, 0), _QUARTER),
        ((0.088, 0, 0), _QUARTER),
    )
    effort = (87, 87, 87, 87, 12, 12, 12)
    return tuple(
        _Joint(place, (roll, 0, 0), "0 0 1", lower[i], upper[i], velocity[i], effort[i])
        for i, (place, roll) in enumerate(places)
    )


def _widowx() -> tuple[_Joint, ...]:
    """The vendor's xacro, jazzy branch; limits in degrees there."""
    rows: tuple[tuple[Triple, str, float, float, float], ...] = (
        ((0, 0, 0.072), "0 0 1", -180, 180, 10),
        ((0, 0, 0.03865), "0 1 0", -108, 114, 20),
        ((0.04975, 0, 0.25), "0 1 0", -123, 92, 15),
        ((0.175, 0, 0), "1 0 0", -180, 180, 2),
        ((0.075, 0, 0), "0 1 0", -100, 123, 5),
        ((0.065, 0, 0), "1 0 0", -180, 180, 1),
    )
    return tuple(
        _Joint(place, (0, 0, 0), axis, math.radians(lower), math.radians(upper), math.pi, effort)
        for place, axis, lower, upper, effort in rows
    )


_PANDA = (
    (-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973),
    (2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973),
    (2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61),
)
_FR3 = (
    (-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159),
    (2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159),
    (2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26),
)
_ARMS: dict[str, tuple[tuple[_Joint, ...], tuple[Triple, Triple]]] = {
    # Flange .107 and grip point .1034 beyond the last joint, the hand turned by -45 degrees.
    "panda": (_franka(*_PANDA), ((0, 0, 0.107 + 0.1034), (0, 0, -math.pi / 4))),
    "fr3": (_franka(*_FR3), ((0, 0, 0.107 + 0.1034), (0, 0, -math.pi / 4))),
    "wx250s": (_widowx(), ((0.0936, 0, 0), (0, 0, 0))),
}
KNOWN = tuple(_ARMS)


def urdf_of(arm: str, names: Sequence[str], tip: str) -> str:
    """The URDF of a known arm.

    :param arm: one of :data:`KNOWN`.
    :param names: of its joints, from the base on.
    :param tip: name of the link whose frame is the grip frame.
    :raises InputError: unknown arm, or another number of joints.
    """
    if arm not in _ARMS:
        raise InputError("unknown description", where="kinematics.description", expected=", ".join(KNOWN), found=arm)
    joints, (place, turn) = _ARMS[arm]
    if len(names) != len(joints):
        raise InputError("wrong number of joints", where=f"description {arm}", expected=len(joints), found=len(names))
    parts, parent = ['<link name="base_link"/>'], "base_link"
    for joint, name in zip(joints, names, strict=True):
        child = f"{name}_link"
        limit = f'<limit lower="{joint.lower!r}" upper="{joint.upper!r}" velocity="{joint.velocity!r}"'
        parts.append(
            f'<link name={_quoted(child)}/><joint name={_quoted(name)} type="revolute">'
            f"{_origin(joint.origin, joint.turn)}<parent link={_quoted(parent)}/><child link={_quoted(child)}/>"
            f'<axis xyz="{joint.axis}"/>{limit} effort="{joint.effort!r}"/></joint>'
        )
        parent = child
    parts.append(
        f'<link name={_quoted(tip)}/><joint name="tip" type="fixed">{_origin(place, turn)}'
        f"<parent link={_quoted(parent)}/><child link={_quoted(tip)}/></joint>"
    )
    return f"<robot name={_quoted(arm)}>{''.join(parts)}</robot>"


def _quoted(name: str) -> str:
    return f'"{escape(name)}"'


def _origin(place: Triple, turn: Triple) -> str:
    x, y, z = map(float, place)
    roll, pitch, yaw = map(float, turn)
    return f'<origin xyz="{x!r} {y!r} {z!r}" rpy="{roll!r} {pitch!r} {yaw!r}"/>'
