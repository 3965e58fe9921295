"""Instructions as vectors: hashed words, no vocabulary to ship."""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

TEXT = 48
_HALF = TEXT // 2
_SILENT = frozenset({"the", "and", "it"})
_PREPOSITIONS = frozenset({"on", "in"})


@lru_cache(maxsize=256)
def embed(instruction: str) -> NDArray[np.float32]:
    """Word vectors summed apart for the words before and after the preposition, for "stack A on B" is not "stack B on
    A"; each half scaled to length 2 (48,). Read only: the array is shared.
    """
    halves, side = [np.zeros(_HALF), np.zeros(_HALF)], 0
    for word in instruction.lower().split():
        side = 1 if word in _PREPOSITIONS else side
        if word not in _SILENT:
            halves[side] += np.random.default_rng(zlib.crc32(word.encode())).normal(size=_HALF)
    vector = np.concatenate([2 * half / max(float(np.linalg.norm(half)), 1e-9) for half in halves]).astype(np.float32)
    vector.flags.writeable = False
    return vector
