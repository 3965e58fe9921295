"""Checks that the estimators share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError

Field = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]


def flat_samples(samples: Field) -> Floats:
    """Chunks with their actions flattened, in double: (member, draw, H, A) → (member, draw, H·A).

    :raises InputError: when there is no such shape.
    """
    chunks = np.asarray(samples)
    if chunks.ndim != 4 or 0 in chunks.shape:
        raise InputError(
            "samples have the wrong shape", where="samples", expected="(member, draw, H, A)", found=chunks.shape
        )
    return chunks.reshape(*chunks.shape[:2], -1).astype(np.float64)
