"""Temporal ensembling: where released chunks overlap, what they say of the same moment is averaged (ACT, arXiv
2304.13705, Alg. 2).

Of released chunks only: each of them was scored as the policy gave it, and the average lies between what passed. Which
actions are of the same moment follows from the echoed stamps of their observations, all of one source: their
differences are the same for whoever reads a recording, so that every average can be derived again.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vla_uq.contracts import Chunk, Space
from vla_uq.geometry import rotation_matrix, rotation_vector

Vector = NDArray[np.float64]
SPACES = frozenset({Space.JOINT_POSITION, Space.EE_POSE})
"""Absolute targets. Of deltas none may be skipped, and which of them belong together no clock knows."""
_KEPT = 32


class Ensembling:
    """Keeps the released chunks of a session.

    :param decay: the i-th oldest of the actions for a moment weighs exp(−decay · i): 0.01 in ACT, 0 weighs all alike;
        below 0 nothing is averaged.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._released: deque[Chunk] = deque(maxlen=_KEPT)

    def start(self) -> None:
        """A session begins: nothing was released in it."""
        self._released.clear()

    def take(self, chunk: Chunk) -> Chunk:
        """What to execute of a chunk that was just released; the gripper, which opens or closes, follows it alone."""
        if self._decay < 0 or chunk.space not in SPACES or chunk.observation_stamp == (0, 0):
            return chunk
        self._released.append(chunk)
        shifts = [_steps_between(older, chunk) for older in self._released]
        rows = [
            _average(
                [
                    older.actions[row + shift].astype(np.float64)
                    for older, shift in zip(self._released, shifts, strict=True)
                    if (older is chunk or shift > 0) and row + shift < older.horizon
                ],
                chunk.space,
                self._decay,
            )
            for row in range(chunk.horizon)
        ]
        return replace(chunk, actions=np.asarray(rows, np.float32))


def _steps_between(older: Chunk, newer: Chunk) -> int:
    """Control steps from one observation to another."""
    (s0, ns0), (s1, ns1) = older.observation_stamp, newer.observation_stamp
    return round(((s1 - s0) + (ns1 - ns0) * 1e-9) / newer.step_duration)


def _average(actions: list[Vector], space: Space, decay: float) -> Vector:
    """Of actions for one moment, the oldest first."""
    weights = np.array([math.exp(-decay * i) for i in range(len(actions))])
    weights /= weights.sum()
    mean = np.asarray(weights @ np.stack(actions))
    if space is Space.EE_POSE and len(actions) > 1:
        mean[3:6] = _mean_turn([action[3:6] for action in actions], weights)
    return mean


def _mean_turn(turns: list[Vector], weights: Vector) -> Vector:
    """The rotation nearest to the mean of the matrices: rotation vectors jump where they are π long."""
    total = np.einsum("i,ijk->jk", weights, np.stack([rotation_matrix(turn) for turn in turns]))
    left, _, right = np.linalg.svd(total)
    signs = np.diag([1.0, 1.0, float(np.sign(np.linalg.det(left @ right)))])
    return rotation_vector(left @ signs @ right)
