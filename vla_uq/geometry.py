"""Rotations and poses as numpy arrays: rotation vectors (rad), matrices (3, 3), quaternions (x, y, z, w)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]


def rotation_matrix(turn: ArrayLike) -> Vector:
    """Matrix (3, 3) of a rotation vector (3,) rad (Rodrigues' formula)."""
    x, y, z = (float(value) for value in np.asarray(turn, np.float64))
    angle = math.sqrt(x * x + y * y + z * z)
    # sin(a)/a and (1 - cos a)/a² by their series near zero, where the quotients lose their digits.
    if angle < 1e-4:
        first, second = 1 - angle**2 / 6, 0.5 - angle**2 / 24
    else:
        first, second = math.sin(angle) / angle, (1 - math.cos(angle)) / angle**2
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + first * cross + second * (cross @ cross))


def rotation_vector(matrix: Vector) -> Vector:
    """Rotation vector (3,) rad, at most π long, of a rotation matrix (3, 3)."""
    x, y, z, w = quaternion(matrix)
    if w < 0:
        x, y, z, w = -x, -y, -z, -w
    sine = math.sqrt(x * x + y * y + z * z)
    scale = 2.0 if sine < 1e-9 else 2 * math.atan2(sine, w) / sine
    return np.array([x, y, z]) * scale


def quaternion(matrix: Vector) -> Vector:
    """Unit quaternion (x, y, z, w) of a rotation matrix (Shepperd's method: divides by the largest component)."""
    m = np.asarray(matrix, np.float64)
    squares = np.array([m[0, 0], m[1, 1], m[2, 2], m.trace()])
    largest = int(np.argmax(squares))
    if largest == 3:
        q = np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], 1 + squares[3]])
    else:
        i, j, k = largest, (largest + 1) % 3, (largest + 2) % 3
        q = np.zeros(4)
        q[i] = 1 + m[i, i] - m[j, j] - m[k, k]
        q[j], q[k], q[3] = m[j, i] + m[i, j], m[k, i] + m[i, k], m[k, j] - m[j, k]
    return np.asarray(q / np.linalg.norm(q))


def matrix_of(q: ArrayLike) -> Vector:
    """Rotation matrix (3, 3) of a quaternion (x, y, z, w); all NaN when it is not of unit length within 1 %."""
    q = np.asarray(q, np.float64)
    norm = float(np.linalg.norm(q))
    if not abs(norm - 1) < 0.01:
        return np.full((3, 3), math.nan)
    return matrix_of_unit(q / norm)


def matrix_of_unit(q: Vector) -> Vector:
    """Rotation matrix (3, 3) of a unit quaternion (x, y, z, w), taken as it is."""
    x, y, z, w = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def compose(position: Vector, rotation: Vector, delta: ArrayLike) -> tuple[Vector, Vector]:
    """Pose ⊕ delta: the translation is added, the rotation vector left-multiplied, both in the base frame.

    :param position: (3,) m.
    :param rotation: (3, 3).
    :param delta: (6,) m and rad.
    """
    delta = np.asarray(delta, np.float64)
    return position + delta[:3], rotation_matrix(delta[3:6]) @ rotation


def shortened(vector: Vector, longest: float) -> tuple[Vector, bool]:
    """The vector, scaled down to length ``longest`` if it is longer; and whether it was."""
    length = float(np.linalg.norm(vector))
    if length <= longest:
        return vector, False
    return vector * (longest / length), True
