"""Forward kinematics of one chain of a robot description (URDF): pose of the tip from joint angles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from teleop_node.values import Pose, Vector
from vla_uq.errors import InputError
from vla_uq.geometry import rotation_matrix

_MOVING = ("revolute", "continuous", "prismatic")


@dataclass(frozen=True, eq=False)
class _Joint:
    name: str
    kind: str
    parent: str
    position: Vector
    rotation: Vector
    axis: Vector


class Chain:
    """The joints between two links.

    :param urdf: the text of ``robot_description``.
    :raises InputError: not a URDF, an unknown link, or no way from ``base`` to ``tip``.
    """

    def __init__(self, urdf: str, base: str, tip: str) -> None:
        try:
            root = ElementTree.fromstring(urdf)
        except ElementTree.ParseError as error:
            raise InputError("not XML", where="robot_description", found=str(error)) from None
        into = {child.get("link", ""): joint for joint in root.findall("joint") for child in joint.findall("child")}
        links = sorted(link.get("name", "") for link in root.findall("link"))
        for link in (base, tip):
            if link not in links:
                raise InputError("no such link", where="robot_description", expected=link, found=", ".join(links))
        joints: list[_Joint] = []
        link = tip
        while link != base:
            if link not in into or len(joints) > len(into):
                raise InputError("no chain of joints", where="robot_description", expected=f"from {base} to {tip}")
            joints.append(_joint(into[link]))
            link = joints[-1].parent
        self._joints = tuple(reversed(joints))

    @property
    def names(self) -> tuple[str, ...]:
        """Its moving joints, from the base on."""
        return tuple(joint.name for joint in self._joints if joint.kind in _MOVING)

    def pose(self, angles: Mapping[str, float]) -> Pose:
        """Pose of the tip in the base's frame.

        :param angles: rad (m for sliding joints) of at least :attr:`names`.
        """
        position, rotation = np.zeros(3), np.eye(3)
        for joint in self._joints:
            position, rotation = position + rotation @ joint.position, rotation @ joint.rotation
            if joint.kind == "prismatic":
                position = position + rotation @ (joint.axis * angles[joint.name])
            elif joint.kind in _MOVING:
                rotation = rotation @ rotation_matrix(joint.axis * angles[joint.name])
        return Pose(position, rotation)


def _joint(element: ElementTree.Element) -> _Joint:
    name, kind = element.get("name", ""), element.get("type", "")
    parent, origin, axis = element.find("parent"), element.find("origin"), element.find("axis")
    if parent is None or kind not in (*_MOVING, "fixed"):
        expected = f"a parent, and a type of {', '.join(_MOVING)}, fixed"
        raise InputError("not a joint of a chain", where=f"robot_description: {name}", expected=expected, found=kind)
    turn = _numbers(origin, "rpy", name)
    direction = _numbers(axis, "xyz", name) if axis is not None else np.array([1.0, 0.0, 0.0])
    length = float(np.linalg.norm(direction))
    return _Joint(
        name,
        kind,
        parent.get("link", ""),
        _numbers(origin, "xyz", name),
        rotation_matrix([0, 0, turn[2]]) @ rotation_matrix([0, turn[1], 0]) @ rotation_matrix([turn[0], 0, 0]),
        direction / length if length else direction,
    )


def _numbers(element: ElementTree.Element | None, attribute: str, joint: str) -> Vector:
    """Three numbers of an attribute; zeros where it is missing."""
    text = "0 0 0" if element is None else element.get(attribute, "0 0 0")
    try:
        found = np.array([float(word) for word in text.split()])
    except ValueError:
        found = np.zeros(0)
    if found.shape != (3,) or not np.isfinite(found).all():
        where = f"robot_description: {joint}.{attribute}"
        raise InputError("impossible value", where=where, expected="3 numbers", found=text)
    return found
