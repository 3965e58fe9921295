"""The device's own copy of the scene, set from ``sim_node/sim_state``; nothing in it reaches the simulation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from vla_monitor.msg import SimState

from sim_node.objects import Thing
from sim_node.robots import robot_of
from sim_node.scene import Scene
from sim_node.tasks import FRANKA, Task, task_of
from vla_uq.errors import InputError

Vector = NDArray[np.float64]


class Mirror:
    """What a person would see: the scene as it was measured last.

    :param robot: the arm on the table.
    :raises InputError: when there is no such robot.
    """

    def __init__(self, robot: str = FRANKA) -> None:
        self._robot = robot_of(robot)
        self._scenes: dict[tuple[tuple[Thing, ...], bool], Scene] = {}
        self.scene: Scene
        self.task: Task
        self.success = False
        self.home_xy: Vector = np.zeros(0)
        """Where the instructed thing stood before it was pushed (2,) m; empty when it was not."""

    def update(self, state: SimState) -> None:
        """Take the state of the simulation.

        :raises InputError: on an unknown task, or a state that is not one of its scene.
        """
        self.task = task_of(state.task, self._robot.name)
        key = (self.task.things, self.task.cabinet)
        if key not in self._scenes:
            self._scenes[key] = Scene(*key, self._robot)
        self.scene = self._scenes[key]
        data = self.scene.data
        for name, mine in (("qpos", data.qpos), ("qvel", data.qvel)):
            theirs = np.asarray(getattr(state, name), float)
            if theirs.shape != mine.shape or not np.isfinite(theirs).all():
                raise InputError(
                    "not a state of this scene",
                    where=f"sim_state.{name}",
                    expected=f"{mine.shape} finite",
                    found=theirs.shape,
                    remedy="run sim_node and scripted_teleop_node from the same version",
                )
            mine[:] = theirs
        self.scene.opening = state.gripper_command
        self.scene.forward()
        self.success, self.home_xy = state.success, np.asarray(state.home_xy, float)
