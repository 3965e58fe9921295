"""Inverse kinematics on the simulation's own Jacobian: damped least squares (Wampler 1986), near the last goal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim_node.engine import mujoco
from sim_node.scene import Scene
from sim_node.widowx.model import LOWER, UPPER

Vector = NDArray[np.float64]
STEP = 0.15
"""Largest change of a joint goal in one control step (rad): 3 rad/s at 20 Hz, below the servos' limit."""
_DAMPING = 1e-3
_ITERATIONS, _DONE = 12, 1e-5


class InverseKinematics:
    """Joints for poses of a scene's grip frame. Works on a copy of the state.

    :param scene: whose model is used.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene, self._data = scene, mujoco.MjData(scene.model)
        self._grip = scene.model.site("grip").id
        self._jacobian = np.zeros((2, 3, scene.model.nv))

    def step(self, last: Vector, position: Vector, rotation: Vector) -> Vector:
        """The goal (n,) rad that brings the grip frame to a pose, no more than a step from the last one."""
        turn = self.solve(last, position, rotation) - last
        return np.asarray(last + turn / max(1.0, float(np.abs(turn).max()) / STEP))

    def solve(self, seed: Vector, position: Vector, rotation: Vector) -> Vector:
        """The joints nearest to a seed (n,) rad that reach a pose as well as the limits let them."""
        q = np.clip(seed, LOWER, UPPER)
        for _ in range(_ITERATIONS):
            error, jacobian = self._error(q, position, rotation)
            if np.abs(error).max() < _DONE:
                break
            square = jacobian @ jacobian.T + _DAMPING * np.eye(6)
            q = np.clip(q + jacobian.T @ np.linalg.solve(square, error), LOWER, UPPER)
        return np.asarray(q)

    def _error(self, q: Vector, position: Vector, rotation: Vector) -> tuple[Vector, Vector]:
        """Displacement (6,) that is missing, m and rad, and the Jacobian (6, n)."""
        scene, data = self._scene, self._data
        data.qpos[scene.arm] = q
        mujoco.mj_kinematics(scene.model, data)
        mujoco.mj_comPos(scene.model, data)
        mujoco.mj_jacSite(scene.model, data, *self._jacobian, self._grip)
        actual = data.site_xmat[self._grip].reshape(3, 3)
        turn = np.zeros(3)
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(rotation @ actual.T).ravel())
        mujoco.mju_quat2Vel(turn, quaternion, 1.0)
        error = np.concatenate([position - data.site_xpos[self._grip], turn])
        return error, self._jacobian.reshape(6, -1)[:, scene.arm_dof]
