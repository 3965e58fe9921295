"""The bed: reset(task, seed, disturbance), observe(), step towards a target, success()."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim_node.cameras import Cameras
from sim_node.control import SUBSTEPS, Controller
from sim_node.disturbances import DISTURBANCES, colour_of, disturbance_of
from sim_node.engine import mujoco
from sim_node.goals import Task
from sim_node.objects import Thing, shape_of
from sim_node.placement import place_things
from sim_node.robots import robot_of
from sim_node.scene import TIMESTEP, Scene
from sim_node.tasks import FRANKA, task_of, tasks_of
from sim_node.widowx.servos import Servos
from vla_policy.observation import Observation

Vector = NDArray[np.float64]
CONTROL_DT = SUBSTEPS * TIMESTEP
SETTLE_STEPS = 4
HOME_SPREAD = 0.02
"""Standard deviation of the joints around home at the start (rad)."""
PUSH_FROM, PUSH_TO = 8, 33
"""A push comes at a control step drawn from here."""
CONTROLLERS: dict[str, type[Controller] | type[Servos]] = {FRANKA: Controller, "widowx": Servos}
"""What drives each robot's joints."""


class Bed:
    """The simulated table-top, one task at a time; deterministic given (task, seed, disturbance) and the targets.

    ``advance`` runs any number of physics steps (a driver in real time); ``step_pose`` and ``step_joint`` run one
    control step of 50 ms.

    :param robot: the arm on the table, and with it the tasks.
    :raises InputError: when there is no such robot.
    """

    def __init__(self, render: bool = True, robot: str = FRANKA) -> None:
        self._render, self.robot = render, robot_of(robot)
        self._worlds: dict[tuple[tuple[Thing, ...], bool], tuple[Scene, Controller | Servos]] = {}
        self._cameras: dict[int, Cameras] = {}
        self.task: Task
        self.scene: Scene
        self.controller: Controller | Servos

    def reset(self, task: str, seed: int, disturbance: str = "none") -> None:
        """Begin an episode.

        :param task: instruction.
        :raises InputError: unknown task or disturbance, or one that the task does not admit.
        """
        wanted, disturb = task_of(task, self.robot.name), disturbance_of(disturbance)
        disturb.check(wanted)
        self.task, self.disturbance, self.seed, self._disturb = wanted, disturbance, seed, disturb
        self.scene, self.controller = self._world(self.task)
        scene, rng = self.scene, np.random.default_rng(seed)
        self._rng = np.random.default_rng([seed, list(DISTURBANCES).index(disturbance)])
        self._push_at = int(self._rng.integers(PUSH_FROM, PUSH_TO))
        scene.set_look(self._disturb.light, colour_of(self._disturb, self.task))
        outside = self.task.movable if self._disturb.outside else None
        places = place_things(self.task.things, self.task.cabinet, self.robot, rng, outside)
        self._lay_out(places, rng)
        self.step, self.disturbed, self.home_xy = 0, False, np.zeros(0)
        self._substep = 0

    def build(self) -> list[Scene]:
        """Compile the worlds of all tasks now, rather than each at its first reset."""
        tasks = tasks_of(self.robot.name).values()
        return list({id(scene): scene for scene, _ in map(self._world, tasks)}.values())

    def _world(self, task: Task) -> tuple[Scene, Controller | Servos]:
        """One compiled world for each table, shared by its tasks."""
        key = (task.things, task.cabinet)
        if key not in self._worlds:
            scene = Scene(*key, self.robot)
            self._worlds[key] = scene, CONTROLLERS[self.robot.name](scene)
        return self._worlds[key]

    def _lay_out(self, places: dict[str, Vector], rng: np.random.Generator) -> None:
        scene = self.scene
        mujoco.mj_resetData(scene.model, scene.data)
        qpos = scene.data.qpos
        home = self.robot.home
        qpos[scene.arm], qpos[scene.fingers] = home + rng.normal(0, HOME_SPREAD, len(home)), self.robot.open
        for thing in self.task.things:
            yaw = 0.0 if shape_of(thing).clear else rng.uniform(-0.25, 0.25)  # walls stand parallel to the axes
            start = scene.address[thing.name]
            qpos[start : start + 7] = [*places[thing.name], 0.001, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
        for name, travel in self.task.drawers:
            qpos[scene.address[name]] = travel
        scene.forward()
        self.controller.reset()
        self.controller.advance(SETTLE_STEPS * SUBSTEPS)

    # -- acting ----------------------------------------------------------------------------------------------------
    def step_pose(self, position: Vector, rotation: Vector, gripper: float) -> None:
        """One control step towards a pose of the grip frame (base frame) and a gripper opening (0…1)."""
        self.controller.follow_pose(position, rotation)
        self.controller.gripper = gripper
        self.advance(SUBSTEPS)

    def step_joint(self, q: Vector, gripper: float) -> None:
        """One control step towards joint positions (n,) rad."""
        self.controller.hold_joints(q)
        self.controller.gripper = gripper
        self.advance(SUBSTEPS)

    def advance(self, substeps: int) -> None:
        """Run the physics towards the controller's newest target; a push falls on control-step boundaries."""
        for _ in range(substeps):
            if self._substep % SUBSTEPS == 0:
                self._maybe_push()
            self.controller.advance(1)
            self._substep += 1
            self.step = self._substep // SUBSTEPS

    def _maybe_push(self) -> None:
        push, name = self._disturb.push, self.task.movable
        if push is None or self.disturbed or self.step < self._push_at or name is None:
            return
        before = self.scene.place(name)[:2].copy()
        if push(self.scene, self.task, self._rng):
            self.disturbed, self.home_xy = True, before

    # -- reading ---------------------------------------------------------------------------------------------------
    @property
    def instruction(self) -> str:
        return self.task.instruction

    @property
    def horizon(self) -> int:
        return self.task.horizon

    def joints(self) -> Vector:
        """Arm joints (n,) rad."""
        return self.scene.joints

    def pose(self) -> tuple[Vector, Vector]:
        """Grip frame: position (3,) m and rotation (3, 3), base frame."""
        return self.scene.position, self.scene.rotation

    def success(self) -> bool:
        """All goals hold."""
        return all(self.scene.holds(goal) for goal in self.task.goals)

    def images(self) -> dict[str, NDArray[np.uint8]]:
        """Both cameras, (256, 256, 3) RGB."""
        key = id(self.scene)
        if key not in self._cameras:
            self._cameras[key] = Cameras(self.scene.model)
        return self._cameras[key].render(self.scene.data)

    def observe(self, stamp: tuple[int, int] = (0, 0)) -> Observation:
        """What the policy may see."""
        position, rotation = self.pose()
        images = self.images() if self._render else {}
        return Observation(images, position, rotation, self.scene.width, self.instruction, stamp)
