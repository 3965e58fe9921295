"""The two cameras, rendered off screen."""

from __future__ import annotations

import atexit
import os
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_node.engine import GL_REMEDY, mujoco
from vla_uq.errors import InputError

SIZE = 256
CAMERAS = ("agentview", "wrist")


class Cameras:
    """Renders both cameras of a scene.

    :raises InputError: when no GL library can render.
    """

    def __init__(self, model: Any, size: int = SIZE) -> None:
        try:
            self._renderer = mujoco.Renderer(model, size, size)
        except Exception as error:  # every GL back end raises its own type
            raise InputError(
                f"cannot render: {error}",
                where=f"MUJOCO_GL={os.environ['MUJOCO_GL']}",
                remedy=GL_REMEDY,
            ) from error
        self._free = weakref.finalize(self, self._renderer.close)
        # At exit the GL library ends before the interpreter collects what is left. It registered its end when the
        # context was made: what is registered now comes first.
        self._free.atexit = False
        atexit.register(self._free)
        flags = self._renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0

    def render(self, data: Any) -> dict[str, NDArray[np.uint8]]:
        """Camera name to (size, size, 3) RGB."""
        images = {}
        for name in CAMERAS:
            self._renderer.update_scene(data, camera=name)
            images[name] = self._renderer.render()
        return images

    def close(self) -> None:
        """Free the GL context."""
        self._free()
