"""Camera messages as arrays: the one place that reads ``sensor_msgs/Image`` and ``CompressedImage`` fields (by
attribute, without ROS).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError

Image = NDArray[np.uint8]

_ENCODINGS = {"rgb8": (3, False), "bgr8": (3, True), "rgba8": (4, False), "bgra8": (4, True)}
"""Bytes of a pixel, and whether blue comes first; a fourth byte is passed over."""


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
    depth, blue_first = _ENCODINGS[message.encoding]
    if height < 1 or step < depth * width or len(message.data) != height * step:
        raise InputError(
            "data does not fill the declared shape",
            where=f"image of {camera}",
            expected=f"{height} rows of {step} bytes for {width} pixels",
            found=f"{len(message.data)} bytes",
        )
    _demand_size((height, width), camera, size)
    rows = np.frombuffer(message.data, np.uint8).reshape(height, step)
    image = rows[:, : depth * width].reshape(height, width, depth)[:, :, :3]
    return np.ascontiguousarray(image[:, :, ::-1]) if blue_first else image


def decode_compressed(message: Any, camera: str, size: tuple[int, int] | None = None) -> Image:
    """Decode a ``sensor_msgs/CompressedImage``, JPEG or PNG, into (height, width, 3) RGB.

    ``format`` is read as image_transport's own subscriber does: ``bgr8; jpeg compressed bgr8`` holds a file in usual
    colours, as does one that names no encodings at all (``jpeg``); with any other end, red and blue of a colour image
    are exchanged in the file.

    :param camera: name for the error.
    :param size: (height, width) in pixels that must be met, or None.
    :raises InputError: when it is no file that OpenCV reads, has another size, or is not 8-bit RGB.
    """
    where = f"image of {camera}"
    try:
        # Unchanged: grey stays grey, 16 bits stay 16, to be refused, and EXIF turns nothing.
        found = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        found = None
    if found is None:
        raise InputError(
            "cannot be decoded",
            where=where,
            expected="a JPEG or PNG file",
            found=f"{len(message.data)} bytes of format {message.format!r}",
        )
    if found.dtype != np.uint8 or found.ndim != 3 or found.shape[2] != 3:
        depth = 1 if found.ndim == 2 else found.shape[2]
        raise InputError(
            "unsupported encoding",
            where=where,
            expected="3 channels of uint8",
            found=f"{depth} of {found.dtype}, format {message.format!r}",
            remedy="set the camera driver to rgb8",
        )
    _demand_size(found.shape[:2], camera, size)
    _, separator, inside = message.format.partition(";")
    exchanged = bool(separator) and "compressed bgr" not in inside
    return np.asarray(found if exchanged else cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8)


def _demand_size(found: tuple[int, ...], camera: str, size: tuple[int, int] | None) -> None:
    if size is not None and tuple(found) != size:
        raise InputError(
            "wrong size",
            where=f"image of {camera}",
            expected=f"{size[1]}x{size[0]}",
            found=f"{found[1]}x{found[0]}",
            remedy="set the camera driver's resolution, or the size in the file that the parameter observation names",
        )
