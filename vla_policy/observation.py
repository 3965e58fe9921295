"""What the policy sees, and how that becomes numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_policy.manifest import OPEN_WIDTH
from vla_uq.errors import InputError

CAMERAS = ("agentview", "wrist")
IMAGE_SIZE = 64
PROPRIO = 11


@dataclass(frozen=True, eq=False)
class Observation:
    """One moment of the robot.

    :param images: camera name to (height, width, 3) uint8 RGB.
    :param position: grip point (3,) m, base frame.
    :param rotation: grip frame (3, 3), base frame.
    :param width: distance between the fingers (m).
    :param stamp: (sec, nanosec) of the joint state; echoed, never compared with a clock.
    :param joints: name to position (rad, or m) of all that the joint state holds, for policies that look at them.
    """

    images: Mapping[str, NDArray[np.uint8]]
    position: NDArray[np.float64]
    rotation: NDArray[np.float64]
    width: float
    instruction: str
    stamp: tuple[int, int] = (0, 0)
    joints: Mapping[str, float] = field(default_factory=dict)


def proprioception(observation: Observation, gripper_command: float) -> NDArray[np.float32]:
    """Position, two columns of the rotation, finger distance, and the policy's own last gripper command (11,).

    :param gripper_command: opening, 0 closed to 1 open, in the policy's last executed action.
    """
    rotation = observation.rotation
    closed = 1.0 - 2.0 * gripper_command
    parts = (observation.position, rotation[:, 0], rotation[:, 1], [observation.width * 10, closed])
    return np.concatenate(parts).astype(np.float32)


def initial_gripper(observation: Observation, open_width: float = OPEN_WIDTH) -> float:
    """The command to assume before the policy has given one: open unless something keeps the fingers together.

    :param open_width: fingers farther apart than this (m) hold nothing.
    """
    return 1.0 if observation.width > open_width else 0.0


def small_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize by area to (64, 64, 3): in training and at run time alike.

    :raises InputError: when the image is not (height, width, 3) uint8.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(
            "not an RGB image",
            where="observation.images",
            expected="(height, width, 3) uint8",
            found=f"{image.shape} {image.dtype}",
        )
    return np.asarray(cv2.resize(image, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_AREA), np.uint8)


def policy_image(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A camera image as the network takes it: (3, 64, 64) float32 in [0, 1]."""
    return np.ascontiguousarray(small_image(image).transpose(2, 0, 1)).astype(np.float32) / np.float32(255)
