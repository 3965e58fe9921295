"""STAC (Sentinel): how far a policy no longer wants to do what it wanted at its previous inference.

Chunks of consecutive inferences overlap: what the previous one said of the actions after those that were executed is
compared with what the present one says of the same times. A higher value is a worse one, always.
"""

from __future__ import annotations

import numpy as np

from vla_uq.errors import InputError
from vla_uq.uncertainty.chunks import Chunks, Floats, check_draws, columns
from vla_uq.uncertainty.mmd import mmd2


def overlap(previous: Chunks, current: Chunks, execute_steps: int) -> tuple[Chunks, Chunks]:
    """The actions of both chunks (..., H, A) that are meant for the same times, (..., H - execute_steps, A).

    :param execute_steps: actions executed between the two inferences.
    :raises InputError: when there are none: a policy that executes whole chunks never says anything twice.
    """
    horizon = current.shape[-2]
    if not 1 <= execute_steps < horizon:
        raise InputError(
            "chunks of consecutive inferences do not overlap",
            where="execute_steps",
            expected=f"1 to {horizon - 1} of the {horizon} actions of a chunk",
            found=execute_steps,
            remedy="execute fewer actions of each chunk, or use a score that needs no overlap, such as total_variance",
        )
    return previous[..., execute_steps:, :], current[..., : horizon - execute_steps, :]


def stac(
    previous: Chunks, current: Chunks, execute_steps: int, *, beta: float | None = 1.0, part: str = "all"
) -> Floats:
    """Discrepancy of the sampled chunks on their overlap, see :func:`vla_uq.uncertainty.mmd.mmd2`.

    :param previous: (..., draw, H, A) of the inference before, 2 draws or more.
    :param current: (..., draw, H, A).
    :param beta: squared scale of the kernel; None for the median heuristic.
    :param part: columns that are compared; Sentinel leaves the gripper out.
    :returns: (...).
    :raises InputError: when there is one draw, nothing overlaps, or actions do not have the part.
    """
    check_draws(current)
    before, now = (
        np.ascontiguousarray(columns(chunks, part)).reshape(*chunks.shape[:-2], -1)
        for chunks in overlap(previous, current, execute_steps)
    )
    return mmd2(before, now, beta)


def stac_single(previous: Chunks, current: Chunks, execute_steps: int, *, part: str = "all") -> Floats:
    """The same from the executed chunk alone: mean distance of its actions from those meant before.

    :param previous: (..., H, A) executed before.
    :param current: (..., H, A).
    :returns: (...), in units of the actions.
    :raises InputError: as :func:`stac`.
    """
    before, now = (columns(chunks, part) for chunks in overlap(previous, current, execute_steps))
    value: Floats = np.linalg.norm(now - before, axis=-1).mean(axis=-1)
    return value
