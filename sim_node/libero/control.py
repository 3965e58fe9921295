"""robosuite's OSC_POSE and Panda gripper, restated over raw MuJoCo: one evaluation of the dynamics a substep.

Equal to robosuite 1.4's step to rounding, at a third of its cost (Khatib's operational-space law with position and
orientation decoupled, stiffness 150, critical damping; joint posture in the null space).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_node.engine import mujoco

Vector = NDArray[np.float64]
STIFFNESS, POSTURE_STIFFNESS = 150.0, 10.0
DAMPING, POSTURE_DAMPING = 2 * np.sqrt(STIFFNESS), 2 * np.sqrt(POSTURE_STIFFNESS)
CONTROL_RATE = 20
"""Control steps a second."""
GRIPPER_RATE = 0.01
"""Change of the gripper's command in one substep, of a span of 2."""
_GRIPPER_SIGNS = np.array([-1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Arm:
    """Where the robot lies in a model: indices of its seven joints, its actuators, the fingers and the grip site."""

    qpos: NDArray[np.int64]
    qvel: NDArray[np.int64]
    actuators: NDArray[np.int64]
    gripper_actuators: NDArray[np.int64]
    fingers: NDArray[np.int64]
    site: int
    torque_low: Vector
    torque_high: Vector
    home: Vector


class Controller:
    """Drives the arm of a model towards the newest target.

    :param hold: substeps for which a torque is kept: 1 is robosuite's; 5 is faster and 4 mm away after 40 steps.
    """

    def __init__(self, model: Any, data: Any, arm: Arm, hold: int = 1) -> None:
        self.arm = arm
        self._model, self._data, self._hold = model, data, hold
        self.substeps = round(1 / CONTROL_RATE / model.opt.timestep)
        ranges = model.actuator_ctrlrange[arm.gripper_actuators]
        self._middle, self._half = ranges.mean(1), np.ptp(ranges, axis=1) / 2
        self._mass = np.zeros((model.nv, model.nv))
        self._jp, self._jr = np.zeros((3, model.nv)), np.zeros((3, model.nv))
        self._block, self._regular = np.ix_(arm.qvel, arm.qvel), 1e-9 * np.eye(6)
        self.reset()

    def reset(self) -> None:
        """Take the pose as it is for the target; the gripper's command is in its middle."""
        self._gripper = np.zeros(2)
        self._target, self._target_rotation = self.position, self.rotation

    @property
    def position(self) -> Vector:
        """Grip point (3,) m, world frame."""
        return np.array(self._data.site_xpos[self.arm.site])

    @property
    def rotation(self) -> Vector:
        """Grip frame (3, 3), world frame."""
        return np.array(self._data.site_xmat[self.arm.site]).reshape(3, 3)

    @property
    def width(self) -> float:
        """Distance between the fingers (m)."""
        fingers = self._data.qpos[self.arm.fingers]
        return float(fingers[0] - fingers[1])

    def step(self, position: Vector, rotation: Vector | None, closing: float) -> None:
        """One control step of 50 ms towards a pose.

        :param position: (3,) m, world frame.
        :param rotation: (3, 3); ``None`` keeps the last target, as robosuite does on a rotation of zero.
        :param closing: its sign moves the gripper: positive closes, negative opens, zero leaves it.
        """
        model, data = self._model, self._data
        self._target = np.asarray(position, float)
        self._target_rotation = self._target_rotation if rotation is None else np.asarray(rotation, float)
        travel = _GRIPPER_SIGNS * GRIPPER_RATE * np.sign(closing)
        for substep in range(self.substeps):
            mujoco.mj_step1(model, data)
            self._gripper = np.clip(self._gripper + travel, -1, 1)
            data.ctrl[self.arm.gripper_actuators] = self._middle + self._half * self._gripper
            if substep % self._hold == 0:
                data.ctrl[self.arm.actuators] = np.clip(self._torque(), self.arm.torque_low, self.arm.torque_high)
            mujoco.mj_step2(model, data)
        mujoco.mj_kinematics(model, data)  # the last substep has moved what was computed before it
        mujoco.mj_comPos(model, data)

    def _torque(self) -> Vector:
        model, data, arm = self._model, self._data, self.arm
        velocity = data.qvel[arm.qvel]
        mujoco.mj_jacSite(model, data, self._jp, self._jr, arm.site)
        mujoco.mj_fullM(model, self._mass, data.qM)
        jp, jr, mass = self._jp[:, arm.qvel], self._jr[:, arm.qvel], self._mass[self._block]
        both = np.concatenate([jp, jr])
        error = self._target_rotation @ data.site_xmat[arm.site].reshape(3, 3).T
        turn = 0.5 * np.array([error[2, 1] - error[1, 2], error[0, 2] - error[2, 0], error[1, 0] - error[0, 1]])
        speed = both @ velocity
        force = STIFFNESS * (self._target - data.site_xpos[arm.site]) - DAMPING * speed[:3]
        moment = STIFFNESS * turn - DAMPING * speed[3:]
        both_minv = np.linalg.solve(mass, both.T).T
        inertia_inv = both_minv @ both.T
        wrench = np.concatenate(
            [np.linalg.solve(inertia_inv[:3, :3], force), np.linalg.solve(inertia_inv[3:, 3:], moment)]
        )
        # M⁻¹ of the posture's torque is the pull itself.
        pull = POSTURE_STIFFNESS * (arm.home - data.qpos[arm.qpos]) - POSTURE_DAMPING * velocity
        wrench -= np.linalg.solve(inertia_inv + self._regular, both @ pull)
        return np.asarray(both.T @ wrench + mass @ pull + data.qfrc_bias[arm.qvel])
