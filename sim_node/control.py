"""The arm's two controllers: operational-space pose control with low gain (as CRISP's), and a joint hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim_node.engine import mujoco
from sim_node.panda import FINGER_TRAVEL, HOME, TORQUE_LIMIT
from sim_node.scene import Scene

Vector = NDArray[np.float64]
POSE_STIFFNESS = 150.0
"""1/s²; damping is critical."""
POSTURE_STIFFNESS = 10.0
JOINT_STIFFNESS = 400.0
HOLD_STIFFNESS = 1600.0
"""1/s², of the hold controller: the arm that it stops rests 0.1 s later, also under a load."""
SUBSTEPS = 10
"""Physics steps of a control step: 10 × 5 ms = 50 ms."""
GRIPPER_RATE = 0.25 / SUBSTEPS
"""Largest change of the commanded opening in one physics step: open to closed in four control steps."""


class Controller:
    """Drives a scene towards the newest target, pose or joint, and slews the gripper towards its command."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.gripper = 1.0
        self.pose: tuple[Vector, Vector] | None = None
        self.joints: Vector | None = None
        self.stiffness = JOINT_STIFFNESS
        nv = scene.model.nv
        self._mass, self._jp, self._jr = np.zeros((nv, nv)), np.zeros((3, nv)), np.zeros((3, nv))
        self._grip = scene.model.site("grip").id
        self._count = 0

    def reset(self) -> None:
        """Hold the measured joints, gripper open."""
        self.gripper = self.scene.opening = 1.0
        self.hold_joints(self.scene.joints)
        self._count = 0

    def follow_pose(self, position: Vector, rotation: Vector) -> None:
        """Target for the grip frame: (3,) m and (3, 3), base frame."""
        self.pose, self.joints = (np.asarray(position, float), np.asarray(rotation, float)), None

    def hold_joints(self, q: Vector, stiffness: float = JOINT_STIFFNESS) -> None:
        """Target for the joints (7,) rad; ``stiffness`` in 1/s², critically damped."""
        self.pose, self.joints, self.stiffness = None, np.array(q, float), stiffness

    def advance(self, substeps: int) -> None:
        """Run the physics; torques are renewed at 100 Hz."""
        scene, model, data = self.scene, self.scene.model, self.scene.data
        for _ in range(substeps):
            scene.opening += float(np.clip(self.gripper - scene.opening, -GRIPPER_RATE, GRIPPER_RATE))
            if abs(self.gripper - scene.opening) < 1e-9:
                scene.opening = self.gripper
            data.ctrl[7:9] = FINGER_TRAVEL * scene.opening
            mujoco.mj_step1(model, data)
            if self._count % 2 == 0:
                data.ctrl[:7] = np.clip(self._torque(), -TORQUE_LIMIT, TORQUE_LIMIT)
            mujoco.mj_step2(model, data)
            self._count += 1
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)

    def _torque(self) -> Vector:
        data = self.scene.data
        mujoco.mj_fullM(self.scene.model, self._mass, data.qM)
        mass, bias = self._mass[:7, :7], data.qfrc_bias[:7]
        if self.pose is None:
            assert self.joints is not None
            return np.asarray(mass @ self._pd(self.joints, self.stiffness) + bias)
        return self._pose_torque(*self.pose, mass) + bias

    def _pd(self, target: Vector, stiffness: float) -> Vector:
        """Acceleration of a critically damped pull towards ``target``."""
        data = self.scene.data
        return stiffness * (target - data.qpos[:7]) - 2 * np.sqrt(stiffness) * data.qvel[:7]

    def _pose_torque(self, position: Vector, rotation: Vector, mass: Vector) -> Vector:
        """Khatib's operational-space law, translation and rotation decoupled, posture in the null space."""
        scene, data = self.scene, self.scene.data
        mujoco.mj_jacSite(scene.model, data, self._jp, self._jr, self._grip)
        jp, jr, qd = self._jp[:, :7], self._jr[:, :7], data.qvel[:7]
        actual = scene.rotation
        turn = 0.5 * np.cross(actual, rotation, axis=0).sum(1)
        both = np.vstack([jp, jr])
        both_minv = both @ np.linalg.inv(mass)
        inertia_inv = both_minv @ both.T + 1e-6 * np.eye(6)
        damping = 2 * np.sqrt(POSE_STIFFNESS)
        force = POSE_STIFFNESS * (position - scene.position) - damping * (jp @ qd)
        moment = POSE_STIFFNESS * turn - damping * (jr @ qd)
        torque = jp.T @ np.linalg.solve(inertia_inv[:3, :3], force) + jr.T @ np.linalg.solve(
            inertia_inv[3:, 3:], moment
        )
        posture = mass @ self._pd(HOME, POSTURE_STIFFNESS)
        return np.asarray(torque + posture - both.T @ np.linalg.solve(inertia_inv, both_minv @ posture))
