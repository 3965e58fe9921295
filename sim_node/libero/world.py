"""One task's world: built by LIBERO once, then a plain MuJoCo model with names for what the task is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_node.engine import mujoco
from sim_node.libero.control import Arm, Controller
from sim_node.libero.package import load, quiet
from sim_node.libero.tasks import LiberoTask

Vector = NDArray[np.float64]
_ORDER = {"turnon": 0, "open": 0, "in": 1, "on": 1, "close": 2}
"""What has to come first: a drawer is filled before it is closed."""


@dataclass(frozen=True)
class Goal:
    """One relation of the task's goal: ``in``/``on`` with a target, ``open``/``close``/``turnon`` without."""

    verb: str
    what: str
    target: str = ""


class World:
    """A compiled task.

    :param hold: as the controller's.
    :raises InputError: when LIBERO or its assets are missing.
    """

    def __init__(self, task: LiberoTask, hold: int = 1) -> None:
        load()
        with quiet():
            from libero.libero.envs.env_wrapper import ControlEnv

            self.env = ControlEnv(
                bddl_file_name=str(task.description),
                has_renderer=False,
                has_offscreen_renderer=False,
                use_camera_obs=False,
                hard_reset=False,
            )
            self.env.seed(0)  # which objects a scene holds is drawn; where they stand comes from the initial states
            self.env.reset()
        inner = self.env.env
        self.task, self._inner = task, inner
        self.model, self.data = inner.sim.model._model, inner.sim.data._data
        self.states = task.states(1 + self.model.nq + self.model.nv)
        self.controller = Controller(self.model, self.data, _arm_of(inner.robots[0]), hold)
        self.base: Vector = np.array(inner.robots[0].base_pos)
        goals = [Goal(*map(str, goal)) for goal in inner.parsed_problem["goal_state"]]
        self.goals = tuple(sorted(goals, key=lambda goal: _ORDER[goal.verb]))
        named = [*inner.objects_dict, *inner.fixtures_dict]
        self.bodies: dict[str, int] = {name: inner.obj_body_id[name] for name in named if name in inner.obj_body_id}
        """Everything that stands in the scene, by LIBERO's name."""
        self._regions = inner.object_sites_dict

    def lay_out(self, state: Vector) -> None:
        """Put everything where an initial state (1 + nq + nv,) says."""
        model, data = self.model, self.data
        mujoco.mj_resetData(model, data)
        data.time = state[0]
        data.qpos[:], data.qvel[:] = np.split(state[1:], [model.nq])
        self.settle()

    def settle(self) -> None:
        """Recompute everything from the positions, which somebody has set."""
        mujoco.mj_forward(self.model, self.data)
        self.controller.reset()

    def success(self) -> bool:
        """LIBERO's own check: every goal holds."""
        return bool(self._inner._check_success())

    def holds(self, goal: Goal) -> bool:
        """LIBERO's own check of one goal."""
        return bool(self._inner._eval_predicate([part for part in (goal.verb, goal.what, goal.target) if part]))

    def place(self, name: str) -> Vector:
        """Origin of a thing's body, or centre of a region (3,) m, world frame."""
        if name in self.bodies:
            return np.array(self.data.xpos[self.bodies[name]])
        return np.array(self.data.site_xpos[self.model.site(name).id])

    def region(self, name: str) -> tuple[Vector, float]:
        """Centre (3,) of a region and half its height (m)."""
        site = self.model.site(name).id
        rotation = self.data.site_xmat[site].reshape(3, 3)
        return self.place(name), float(np.abs(rotation @ self.model.site_size[site])[2])

    def owner(self, region: str) -> str | None:
        """The thing that a region belongs to."""
        parent = self._regions[region].parent_name if region in self._regions else None
        return parent if parent in self.bodies else None

    def joint(self, name: str) -> int:
        """The joint that a drawer's region slides on, or the hinge of a fixture."""
        if name in self._regions and self._regions[name].joints:
            return int(self.model.joint(self._regions[name].joints[0]).id)
        hinge = int(mujoco.mjtJoint.mjJNT_HINGE)
        joints = (self.model.joint(i) for i in range(self.model.njnt))
        return next(int(joint.id) for joint in joints if joint.name.startswith(name) and joint.type[0] == hinge)

    def travel(self, joint: int) -> float:
        """Position of a joint (m or rad)."""
        return float(self.data.qpos[self.model.jnt_qposadr[joint]])

    def free_address(self, name: str) -> int | None:
        """Where the position of a free thing begins in qpos; ``None`` for what is fixed."""
        joint = int(self.model.body_jntadr[self.bodies[name]]) if name in self.bodies else -1
        if joint < 0 or self.model.jnt_type[joint] != int(mujoco.mjtJoint.mjJNT_FREE):
            return None
        return int(self.model.jnt_qposadr[joint])

    @property
    def movable(self) -> str | None:
        """The thing that the task moves first."""
        for goal in self.goals:
            if goal.verb in ("in", "on") and self.free_address(goal.what) is not None:
                return goal.what
        return None

    def close(self) -> None:
        """Free what LIBERO holds."""
        self.env.close()


def _arm_of(robot: Any) -> Arm:
    low, high = robot.torque_limits
    return Arm(
        qpos=np.array(robot._ref_joint_pos_indexes),
        qvel=np.array(robot._ref_joint_vel_indexes),
        actuators=np.array(robot._ref_joint_actuator_indexes),
        gripper_actuators=np.array(robot._ref_joint_gripper_actuator_indexes),
        fingers=np.array(robot._ref_gripper_joint_pos_indexes),
        site=robot.eef_site_id,
        torque_low=low,
        torque_high=high,
        home=np.array(robot.init_qpos),
    )
