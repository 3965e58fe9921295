"""Images as openpi's own clients send them: fitted into a square, the rest black."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vla_uq.wire import Array


def fit(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize (height, width, 3) with its proportions kept, centred in a black (size, size, 3).

    The filter is the triangle of Pillow's BILINEAR, which averages over all pixels that become one: the policies were
    trained with it, and OpenCV's linear interpolation differs where an image shrinks.
    """
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    ratio = max(height, width) / size
    rows, columns = max(int(height / ratio), 1), max(int(width / ratio), 1)
    # One axis after the other, with whole numbers in between, as Pillow does.
    across = _whole(np.einsum("hwc,vw->hvc", image.astype(np.float32), _triangle(width, columns), optimize=True))
    small = _whole(np.einsum("hvc,uh->uvc", across, _triangle(height, rows), optimize=True))
    square = np.zeros((size, size, 3), np.uint8)
    top, left = (size - rows) // 2, (size - columns) // 2
    square[top : top + rows, left : left + columns] = small
    return square


def _whole(values: Array) -> Array:
    rounded: Array = np.floor(values + np.float32(0.5))
    return np.clip(rounded, 0, 255)


@lru_cache(maxsize=8)
def _triangle(before: int, after: int) -> Array:
    """Weights (after, before) of the old pixels in each new one; every row adds up to one."""
    scale = before / after
    reach = max(scale, 1.0)
    centres = (np.arange(after) + 0.5) * scale
    away = np.abs(np.arange(before) + 0.5 - centres[:, None])
    weights = np.maximum(0.0, 1.0 - away / reach)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
