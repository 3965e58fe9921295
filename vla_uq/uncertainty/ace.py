"""ACE, action-chunk entropy (FIPER): over how many places the sampled chunks spread.

At each action of the chunk, space is cut into cells, and the entropy of the occupancy of cells by the draws is taken;
ACE is the mean over the chunk. Only positions count. Cells are a fixed share of the range of positions, so what that
range is of matters: of the episodes that the score is fitted to (FIPER), or of the observation's own draws (uq_vla),
which frees the score of its scale and of most of its information.
"""

from __future__ import annotations

from functools import reduce
from typing import Literal, get_args

import numpy as np

from vla_uq.errors import InputError
from vla_uq.uncertainty.chunks import Chunks, Floats, check_draws, columns

CELL = 0.03
"""Size of a cell as a share of the range of positions."""
BUFFER = 0.01
"""The grid begins below the lowest draw, by this share of the spread of the draws."""
Motion = Literal["delta", "absolute"]
MOTIONS: tuple[Motion, ...] = get_args(Motion)


def positions(samples: Chunks, motion: str = "delta") -> Floats:
    """Where the chunks lead, (..., draw, H, 3 or less); planar actions have two columns.

    :param motion: ``delta``: actions are displacements or velocities, and their sum from the chunk's first on is the
        position (where the chunk begins and how long a step takes does not change ACE); ``absolute``: they are
        positions.
    :raises InputError: when the motion is unknown.
    """
    if motion not in MOTIONS:
        raise InputError("unknown motion", where="motion", expected=", ".join(MOTIONS), found=motion)
    translation = columns(samples, "translation")
    return np.cumsum(translation, axis=-2) if motion == "delta" else translation


def cell_size(ranges: Floats) -> Floats:
    """Size of a cell in each dimension, (..., 3), from the range of positions in it.

    A dimension without a range takes the largest one of the others.
    """
    largest = ranges.max(axis=-1, keepdims=True)
    cells: Floats = CELL * np.where(ranges > 0, ranges, np.where(largest > 0, largest, 1.0))
    return cells


def ace(places: Floats, ranges: Floats | None = None) -> Floats:
    """Entropy in bits, mean over the chunk: from 0, all draws in one cell, to log2 draws, each in its own.

    :param places: (..., draw, H, 3) from :func:`positions`.
    :param ranges: (3,) of positions, over all episodes; None takes those of each observation's own draws.
    :returns: (...).
    :raises InputError: when there is one draw.
    """
    check_draws(places)
    extent = np.ptp(places, axis=(-3, -2)) if ranges is None else ranges
    by_action = np.moveaxis(places, -2, -3)  # (..., H, draw, 3)
    low, high = by_action.min(axis=-2, keepdims=True), by_action.max(axis=-2, keepdims=True)
    cells = np.floor((by_action - low + BUFFER * (high - low)) / cell_size(extent)[..., None, None, :])
    together = reduce(np.logical_and, (c[..., :, None] == c[..., None, :] for c in np.moveaxis(cells, -1, 0)))
    # The draws in the cell of each draw: averaging the logarithm of their share is the sum over cells of p log p.
    company = np.count_nonzero(together, axis=-1)
    entropy: Floats = np.log2(cells.shape[-2] / company).mean(axis=(-2, -1))
    return entropy
