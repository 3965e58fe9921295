"""LIBERO's two cameras, rendered small."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_node.cameras import Cameras
from sim_node.engine import mujoco

SIZE = 128
NAMES = {"agentview": "agentview", "wrist": "robot0_eye_in_hand"}
"""Our names of the cameras, and LIBERO's."""


class LiberoCameras(Cameras):
    """Renders both cameras of a LIBERO model, upright.

    :raises InputError: when no GL library can render.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model, SIZE)
        self._look = mujoco.MjvOption()
        self._look.geomgroup[0] = 0  # the collision shapes

    def render(self, data: Any) -> dict[str, NDArray[np.uint8]]:
        """Camera name to (128, 128, 3) RGB."""
        images = {}
        for ours, theirs in NAMES.items():
            self._renderer.update_scene(data, camera=theirs, scene_option=self._look)
            images[ours] = self._renderer.render()
        return images
