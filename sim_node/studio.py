"""Renders beside the physics: one thread that owns the GL contexts, given a copy of the state."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_node.cameras import Cameras
from sim_node.engine import mujoco
from sim_node.scene import Scene

Images = dict[str, NDArray[np.uint8]]


class Studio:
    """Takes pictures of scenes without holding up whoever simulates them.

    A GL context belongs to the thread that made it, so one worker makes and uses them all; MuJoCo lets go of Python's
    lock while it renders.

    :param scenes: every scene that will be rendered; their contexts are made now (0.3 s each).
    :raises InputError: when no GL library can render.
    """

    def __init__(self, scenes: Iterable[Scene]) -> None:
        self._worker = ThreadPoolExecutor(1, "studio")
        self._sets: dict[int, tuple[Cameras, Any]] = {}
        self._running: Future[Images] | None = None
        self.skipped = 0
        """Pictures not taken because the last one was not ready."""
        try:
            self._worker.submit(self._furnish, list(scenes)).result()
        except BaseException:
            self.close()
            raise

    def _furnish(self, scenes: list[Scene]) -> None:
        for scene in scenes:
            cameras = Cameras(scene.model)
            cameras.render(scene.data)  # the first picture of a context takes tenths of a second
            self._sets[id(scene)] = cameras, mujoco.MjData(scene.model)

    def shoot(self, scene: Scene) -> Future[Images] | None:
        """Begin to render a scene as it is now, or ``None`` while the last picture is still in work."""
        if self._running is not None and not self._running.done():
            self.skipped += 1
            return None
        cameras, copy = self._sets[id(scene)]
        mujoco.mj_copyData(copy, scene.model, scene.data)
        self._running = self._worker.submit(cameras.render, copy)
        return self._running

    def wait(self) -> None:
        """Let the picture in work finish: before a scene's looks change."""
        if self._running is not None:
            self._running.result()

    def close(self) -> None:
        """Free the GL contexts, in their own thread, and end it."""
        for cameras, _ in self._sets.values():
            self._worker.submit(cameras.close)
        self._worker.shutdown()
