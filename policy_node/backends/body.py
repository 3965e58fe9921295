"""What the policies of this project share: how they see the robot, and what their numbers make it do."""

from __future__ import annotations

import numpy as np

from policy_node.backends.base import PolicySpec
from vla_policy.instruction import embed
from vla_policy.manifest import Manifest
from vla_policy.observation import CAMERAS, Observation, initial_gripper, policy_image, proprioception
from vla_uq.contracts import Reference, Space
from vla_uq.wire import Array


class Body:
    """Observations in, executable actions out; remembers the instruction and the policy's own last gripper command.

    An action's seven numbers are position, rotation and gripper; the gripper closes on a positive one.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        steps = [manifest.position_step] * 3 + [manifest.rotation_step] * 3
        self._steps = np.asarray(steps, np.float32)
        self._scale = np.asarray(manifest.action_scale, np.float32)
        self.reset("")

    def reset(self, instruction: str) -> None:
        """Forget the episode before."""
        self._text = embed(instruction)[None]
        self._gripper: float | None = None

    def inputs(self, observation: Observation) -> dict[str, Array]:
        """An observation as the encoders take it, with the policy's own last gripper command."""
        gripper = self._gripper
        if gripper is None:
            gripper = initial_gripper(observation, self._manifest.open_width)
        images = {name: policy_image(observation.images[name])[None] for name in CAMERAS}
        return images | {"proprio": proprioception(observation, gripper)[None], "text": self._text}

    def execute(self, chunk: Array) -> tuple[Array, Array]:
        """A normalised chunk (H, 7) as displacements (H, 6) in m and rad, and gripper openings (H,)."""
        action = np.clip(chunk * self._scale, -1.0, 1.0)
        opening = np.where(action[:, 6] > 0, np.float32(0), np.float32(1))
        self._gripper = float(opening[self._manifest.execute_steps - 1])
        return action[:, :6] * self._steps, opening

    def spec(self, back_end: str, tensors: tuple[str, ...]) -> PolicySpec:
        """The policy's announcement."""
        manifest = self._manifest
        return PolicySpec(
            fingerprint=manifest.fingerprint,
            back_end=back_end,
            members=manifest.members,
            space=Space.EE_DELTA,
            reference=Reference.MEASURED,
            names=("x", "y", "z", "rx", "ry", "rz"),
            horizon=manifest.horizon,
            dim=6,
            step_duration=manifest.step_duration,
            execute_steps=manifest.execute_steps,
            tensors=tensors,
        )
