"""Sampled action chunks: which columns of an action mean what, and what scores of them have in common.

An end-effector action is (x, y, z, three of rotation, gripper).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError

MORE_DRAWS = "record more draws: vla-monitor rollouts --draws 10, or draws: 10 of policy_node"
Chunks = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]

PARTS: Mapping[str, tuple[slice, int]] = {
    "all": (slice(None), 1),
    "pose": (slice(0, 6), 6),
    "translation": (slice(0, 3), 1),
    "rotation": (slice(3, 6), 6),
    "gripper": (slice(6, None), 7),
}
"""Columns of each part, and how many an action has at least where it exists; planar actions translate in two."""


def columns(chunks: Chunks, part: str) -> Floats:
    """The columns of a part, in double: (..., A) → (..., columns).

    :param part: a key of :data:`PARTS`.
    :raises InputError: when the part is unknown or actions do not have it.
    """
    if part not in PARTS:
        raise InputError("unknown part of an action", where="columns", expected=", ".join(PARTS), found=part)
    where, least = PARTS[part]
    if chunks.shape[-1] < least:
        raise InputError(
            f"actions have no {part}", where="samples", expected=f"{least} columns or more", found=chunks.shape[-1]
        )
    return np.asarray(chunks[..., where], np.float64)


def check_draws(chunks: Chunks, least: int = 2) -> None:
    """Refuse (..., draw, H, A) with fewer draws than a spread needs.

    :raises InputError: saying how to record more.
    """
    if chunks.ndim < 3 or 0 in chunks.shape:
        raise InputError("have the wrong shape", where="samples", expected="(..., draw, H, A)", found=chunks.shape)
    if chunks.shape[-3] < least:
        raise InputError(
            "too few draws an inference",
            where="samples",
            expected=f"{least} or more",
            found=chunks.shape[-3],
            remedy=MORE_DRAWS,
        )
