"""LIBERO behind the interface of the embedded bed: reset(task, seed, disturbance), observe(), step, success()."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim_node.libero.cameras import LiberoCameras
from sim_node.libero.disturbances import DISTURBANCES, Lights, disturbance_of
from sim_node.libero.lighten import lighten
from sim_node.libero.tasks import LiberoTask, task_of
from sim_node.libero.world import World
from vla_policy.observation import Observation
from vla_uq.geometry import compose

Vector = NDArray[np.float64]
CONTROL_DT = 0.05
SETTLE_STEPS = 10
"""Control steps after a reset in which things come to rest and the gripper opens."""


class LiberoBed:
    """One LIBERO task at a time; deterministic given (task, seed, disturbance) and the targets.

    Only the world of the last task is kept (each takes some 350 MB and a second): play one task's episodes in a row.

    :param hold: 1 steps as robosuite does; 5 keeps torques for five substeps, for data of our own.
    :raises InputError: at the first reset, when LIBERO or its assets are missing, or nothing can render.
    """

    def __init__(self, render: bool = True, hold: int = 1) -> None:
        self._render, self._hold = render, hold
        self._cameras: LiberoCameras | None = None
        self._world: World | None = None
        self.task: LiberoTask
        self.step = 0
        """Control steps since the reset."""

    @property
    def world(self) -> World:
        """The world of the current task."""
        assert self._world is not None, "reset comes first"
        return self._world

    def reset(self, task: str, seed: int, disturbance: str = "none") -> None:
        """Begin an episode.

        :param task: instruction.
        :param seed: chooses the initial state, in turn, and draws the disturbance.
        :raises InputError: unknown task or disturbance.
        """
        wanted, disturb = task_of(task), disturbance_of(disturbance)
        self._enter(wanted)
        world, rng = self.world, np.random.default_rng([seed, list(DISTURBANCES).index(disturbance)])
        self.seed, self.disturbance = seed, disturbance
        self._lights.scale(disturb.light)
        world.lay_out(world.states[seed % len(world.states)])
        if disturb.act is not None:
            disturb.act(world, rng)
            world.settle()
        for _ in range(SETTLE_STEPS):
            self.step_delta(np.zeros(6), 1.0)
        self.step = 0

    def _enter(self, task: LiberoTask) -> None:
        if self._world is not None and self.task == task:
            return
        self.close()
        self.task, self._world = task, World(task, self._hold)
        self._lights = Lights(self._world)
        if self._render:
            lighten(self._world.model)
            self._cameras = LiberoCameras(self._world.model)

    # -- acting ----------------------------------------------------------------------------------------------------
    def step_pose(self, position: Vector, rotation: Vector, gripper: float) -> None:
        """One control step towards a pose of the grip frame (base frame) and a gripper opening (0…1)."""
        self.world.controller.step(position + self.world.base, rotation, 1 - 2 * gripper)
        self.step += 1

    def step_delta(self, delta: Vector, gripper: float) -> None:
        """One control step towards the measured pose displaced by ``delta``: robosuite's OSC_POSE.

        :param delta: displacement (m) and rotation vector (rad), (6,); no rotation keeps the last target.
        """
        controller = self.world.controller
        position, rotation = compose(controller.position, controller.rotation, delta)
        controller.step(position, rotation if np.any(delta[3:6]) else None, 1 - 2 * gripper)
        self.step += 1

    # -- reading ---------------------------------------------------------------------------------------------------
    @property
    def instruction(self) -> str:
        return self.task.instruction

    @property
    def horizon(self) -> int:
        return self.task.horizon

    def pose(self) -> tuple[Vector, Vector]:
        """Grip frame: position (3,) m and rotation (3, 3), base frame (which is turned as the world's)."""
        controller = self.world.controller
        return controller.position - self.world.base, controller.rotation

    def success(self) -> bool:
        """All goals hold, by LIBERO's own check."""
        return self.world.success()

    def images(self) -> dict[str, NDArray[np.uint8]]:
        """Both cameras, (128, 128, 3) RGB."""
        assert self._cameras is not None, "made with render=False"
        return self._cameras.render(self.world.data)

    def observe(self, stamp: tuple[int, int] = (0, 0)) -> Observation:
        """What the policy may see."""
        position, rotation = self.pose()
        images = self.images() if self._render else {}
        return Observation(images, position, rotation, self.world.controller.width, self.instruction, stamp)

    def close(self) -> None:
        """Free the world and its GL context."""
        if self._cameras is not None:
            self._cameras.close()
            self._cameras = None
        if self._world is not None:
            self._world.close()
            self._world = None
