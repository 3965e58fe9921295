"""What goes into a hand and what comes out of it. Plain values; units SI, poses in the arm's base frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pose:
    """Position (3,) m and rotation (3, 3)."""

    position: Vector
    rotation: Vector

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.position).all() and np.isfinite(self.rotation).all())


@dataclass(frozen=True, eq=False)
class Reading:
    """One message of a device.

    :param channels: by name: axes, buttons (0 or 1), joints (rad).
    :param pose: of devices that measure one.
    """

    channels: Mapping[str, float] = field(default_factory=dict)
    pose: Pose | None = None


@dataclass(frozen=True, eq=False)
class Arm:
    """What is known of the arm.

    :param pose: measured.
    :param joints: measured (rad), by name; only leaders need them.
    :param gripper: opening commanded last, 0 closed to 1 open, NaN before any.
    :param driving: the supervisor passes the device on to the arm now.
    """

    pose: Pose
    joints: Mapping[str, float] = field(default_factory=dict)
    gripper: float = math.nan
    driving: bool = False


class Wish(Enum):
    """What a button may ask the supervisor for; the keys of a map's section ``buttons``."""

    TAKE = "take"
    GIVE = "give"
    HALT = "halt"
    RESUME = "resume"
    SUCCESS = "success"
    FAILURE = "failure"
    DISCARD = "discard"


@dataclass(frozen=True, eq=False)
class Handling:
    """What the hand does now.

    :param active: the lease: the deadman is held and the device may be followed.
    :param target: where the arm is wanted; None while not active.
    :param gripper: opening wanted, 0 closed to 1 open; None: no wish.
    :param wishes: asked for now, once each.
    :param note: why it is not active, for people; empty when it is.
    """

    active: bool = False
    target: Pose | None = None
    gripper: float | None = None
    wishes: tuple[Wish, ...] = ()
    note: str = ""
