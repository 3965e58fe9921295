"""From the expert's action to the target that the arm gets: the same convention as the policy's chunks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim_node.engine import mujoco
from sim_node.expert import POSITION_STEP, ROTATION_STEP

Vector = NDArray[np.float64]


def target_of(action: Vector, position: Vector, rotation: Vector) -> tuple[Vector, Vector, float]:
    """Pose (3,), (3, 3) and gripper opening (0 or 1) of an action (7,) taken from the measured pose."""
    turn = action[3:6] * ROTATION_STEP
    angle = float(np.linalg.norm(turn))
    quaternion, matrix = np.zeros(4), np.zeros(9)
    mujoco.mju_axisAngle2Quat(quaternion, turn / max(angle, 1e-9), angle)
    mujoco.mju_quat2Mat(matrix, quaternion)
    return position + action[:3] * POSITION_STEP, matrix.reshape(3, 3) @ rotation, 0.0 if action[6] > 0 else 1.0
