"""Camera messages as arrays: the one place that reads ``sensor_msgs/Image`` fields (by attribute, without ROS)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError

Image = NDArray[np.uint8]

_ENCODINGS = ("rgb8", "bgr8")


def decode(message: Any, camera: str, size: tuple[int, int] | None = None) -> Image:
    """View a ``sensor_msgs/Image`` as (height, width, 3) RGB, without a copy where rows are packed.

    :param camera: name for the error.
    :param size: (height, width) in pixels that must be met, or None.
    :raises InputError: on another encoding or size, or when the data does not fill its declared shape.
    """
    height, width, step = int(message.height), int(message.width), int(message.step)
    if message.encoding not in _ENCODINGS:
        raise InputError(
            "unsupported encoding",
            where=f"image of {camera}",
            expected=" or ".join(_ENCODINGS),
            found=repr(message.encoding),
            remedy="set the camera driver to rgb8",
        )
    if height < 1 or step < 3 * width or len(message.data) != height * step:
        raise InputError(
            "data does not fill the declared shape",
            where=f"image of {camera}",
            expected=f"{height} rows of {step} bytes for {width} pixels",
            found=f"{len(message.data)} bytes",
        )
    if size is not None and (height, width) != size:
        raise InputError(
            "wrong size",
            where=f"image of {camera}",
            expected=f"{size[1]}x{size[0]}",
            found=f"{width}x{height}",
            remedy="set the camera driver's resolution or the image_size parameter",
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(height, step)
    image = rows[:, : 3 * width].reshape(height, width, 3)
    return np.ascontiguousarray(image[:, :, ::-1]) if message.encoding == "bgr8" else image
