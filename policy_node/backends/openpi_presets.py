"""What policy servers are sent and what their answers mean, robot by robot, as data.

An announcement of a server of ours says what its answers mean; then a preset is about what is sent alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_node.backends.openpi_images import fit
from policy_node.backends.openpi_settings import Settings
from vla_policy.observation import CAMERAS, Observation
from vla_policy.openpi_wire import IMAGE, PROMPT, STATE, WRIST_IMAGE
from vla_uq.contracts import Reference, Space
from vla_uq.errors import InputError
from vla_uq.geometry import rotation_vector
from vla_uq.wire import Array

AGENTVIEW, WRIST = CAMERAS
Part = Callable[[Observation, Settings], NDArray[np.float64]]


def position(observation: Observation, settings: Settings) -> NDArray[np.float64]:
    """Grip point (3,) m in the frame that the policy was trained in."""
    return np.asarray(observation.position + np.asarray(settings.base), np.float64)


def turn(observation: Observation, settings: Settings) -> NDArray[np.float64]:
    """Rotation vector (3,) rad of the grip frame, at most π long."""
    return rotation_vector(observation.rotation)


def forward_turn(observation: Observation, settings: Settings) -> NDArray[np.float64]:
    """The rotation vector (3,) rad whose x is not negative, up to 2π long.

    A gripper that points down is turned by about π, where the shorter vector jumps from one end to the other;
    LIBERO's states do not.
    """
    vector = rotation_vector(observation.rotation)
    angle = float(np.linalg.norm(vector))
    return vector if vector[0] >= 0 or angle == 0 else vector * (angle - 2 * math.pi) / angle


def fingers(observation: Observation, settings: Settings) -> NDArray[np.float64]:
    """Positions (2,) m of a Franka's fingers, of which one counts backwards."""
    return np.array([0.5, -0.5]) * observation.width


def closing(observation: Observation, settings: Settings) -> NDArray[np.float64]:
    """How far the gripper is closed (1,), 0 to 1."""
    return np.clip([1.0 - observation.width / settings.open_width], 0.0, 1.0)


def joints(observation: Observation, settings: Settings) -> NDArray[np.float64]:
    """Positions of the arm's joints, rad.

    :raises InputError: when one of them was not received.
    """
    missing = [name for name in settings.joints if name not in observation.joints]
    if missing:
        found = ", ".join(observation.joints) or "none"
        raise InputError("joint is missing", where="joint_states", expected=", ".join(missing), found=found)
    return np.array([observation.joints[name] for name in settings.joints])


@dataclass(frozen=True)
class Preset:
    """One kind of policy.

    :param images: key on the wire to camera.
    :param size: pixels of the square that images are fitted into; 0: they are sent as they are.
    :param mirrored: images are sent with left and right exchanged.
    :param state: key on the wire to what stands there, one after the other.
    :param space: of the answers, with their ``reference`` and ``names``; no names: those of the arm's joints.
    :param scale: of each column but the last, which is the gripper's: metres, rad, m/s or rad/s at 1.
    :param closes_above: the gripper closes where its column is larger.
    """

    images: Mapping[str, str]
    size: int
    state: Mapping[str, tuple[Part, ...]]
    space: Space
    names: tuple[str, ...]
    scale: tuple[float, ...]
    closes_above: float
    step_duration: float
    execute_steps: int
    reference: Reference = Reference.MEASURED
    mirrored: bool = False

    def request(self, observation: Observation, settings: Settings) -> dict[str, Any]:
        """An observation as the server takes it.

        :raises InputError: when it lacks what the policy needs.
        """
        content: dict[str, Any] = {key: self._image(observation.images[name]) for key, name in self.images.items()}
        for key, parts in self.state.items():
            content[key] = np.concatenate([part(observation, settings) for part in parts])
        return content | {PROMPT: observation.instruction}

    def execute(self, actions: Array) -> tuple[Array, Array]:
        """Answers (H, columns) as actions (H, columns - 1) in the units of ``space``, and gripper openings (H,)."""
        scale = np.asarray(self.scale, np.float32)
        opening = np.where(actions[:, -1] > self.closes_above, np.float32(0), np.float32(1))
        return np.clip(actions[:, :-1], -1.0, 1.0) * scale, opening

    def _image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        fitted = fit(image, self.size) if self.size else image
        return np.ascontiguousarray(fitted[:, ::-1]) if self.mirrored else fitted


LIBERO = Preset(
    images={IMAGE: AGENTVIEW, WRIST_IMAGE: WRIST},
    size=224,
    # OpenGL's first row is the lowest, and LIBERO's users turn that picture by half a turn: upright, but mirrored.
    mirrored=True,
    state={STATE: (position, forward_turn, fingers)},
    space=Space.EE_DELTA,
    names=("x", "y", "z", "rx", "ry", "rz"),
    scale=(0.05, 0.05, 0.05, 0.5, 0.5, 0.5),
    closes_above=0.0,
    step_duration=0.05,
    execute_steps=5,
)
PRESETS: dict[str, Preset] = {
    "libero": LIBERO,
    # The policies of this project see whole images, and scale them as in their training.
    "table_top": replace(LIBERO, size=0, mirrored=False, state={STATE: (position, turn, fingers)}, execute_steps=6),
    "droid": Preset(
        images={"observation/exterior_image_1_left": AGENTVIEW, "observation/wrist_image_left": WRIST},
        size=224,
        state={"observation/joint_position": (joints,), "observation/gripper_position": (closing,)},
        space=Space.JOINT_VELOCITY,
        names=(),
        # DROID moves a joint by at most 0.2 rad a step, at 15 Hz.
        scale=(3.0,) * 7,
        closes_above=0.5,
        step_duration=1 / 15,
        execute_steps=8,
    ),
}
