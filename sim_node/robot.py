"""What a scene needs to know of a robot, as data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Hand:
    """How the hand meets the things on the table (m).

    :param half_x: half of the palm's depth, ``half_y`` of its width.
    :param beside: room that the open fingers need on each side of the grip point, along y.
    :param clearance: things higher than this reach the palm while the hand grasps a low one.
    :param slack: how far beside its goal the hand may come down on it.
    :param hover: height above the goal at which the hand travels.
    """

    half_x: float
    half_y: float
    beside: float
    clearance: float
    slack: float = 0.012
    hover: float = 0.13


@dataclass(frozen=True, eq=False)
class Robot:
    """One arm on a table. Its tip is the site ``grip`` between the finger tips, in the body ``hand``.

    :param joints: names of the arm's joints, ``fingers`` of the two sliding joints.
    :param closed: positions of the fingers, closed (2,) m; ``open`` likewise.
    :param pads: thickness of both fingers' pads (m): the part of the fingers' distance that holds nothing.
    :param open_width: distance of the fingers (m) beyond which they hold nothing.
    :param home: joints at the start of an episode (n,) rad.
    :param approach: column of the grip frame that points to what is grasped; column 1 is where the fingers move.
    :param body: MJCF of the arm's bodies, ``actuators`` of its motors, ``extras`` of what stands beside them.
    :param view: pose of the camera ``agentview``, as attributes.
    :param box: corners (2,), (2,) m of the region in which things stand; ``box_cabinet`` beside a cabinet.
    :param pace: largest displacement, as an action, with which the scripted expert moves.
    :param above: grip point (3,) m clear of everything, near home.
    """

    name: str
    joints: tuple[str, ...]
    fingers: tuple[str, str]
    closed: Vector
    open: Vector
    pads: float
    open_width: float
    home: Vector
    approach: int
    body: str
    actuators: str
    extras: str
    view: str
    box: tuple[Vector, Vector]
    box_cabinet: tuple[Vector, Vector]
    hand: Hand
    above: Vector
    pace: float = 1.0

    @property
    def signs(self) -> Vector:
        """Which way each finger opens (2,)."""
        return np.sign(self.open - self.closed)

    @property
    def wide(self) -> float:
        """Distance between the fingers' pads when open (m)."""
        return float(self.signs @ self.open) - self.pads
