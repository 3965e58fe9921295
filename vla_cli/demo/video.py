"""The monitor's overlay images as one H.264 film."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from vla_cli.bag.reader import Recorded, read
from vla_cli.demo.history import OVERLAY

GAP = 0.5
"""Longest pause that is kept (s): what lies between episodes is cut."""
TICKS = 1000


def film(bag: Path, path: Path) -> int:
    """Write the film; returns the number of its frames, and writes nothing when there are none.

    :raises InputError: when the bag cannot be read.
    """
    return encode(read(bag, (OVERLAY,)), path)


def encode(images: Iterable[Recorded], path: Path) -> int:
    """Encode JPEG messages at their own times, in the first image's size.

    PyAV's wheels bring libx264; players need even sizes and yuv420p.
    """
    import av
    import cv2

    frames, now, last = 0, 0, None
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "27", "preset": "veryfast"})
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, TICKS)
        stream.codec_context.time_base = Fraction(1, TICKS)
        for recorded in images:
            image = cv2.imdecode(np.frombuffer(recorded.message.data, np.uint8), cv2.IMREAD_COLOR)
            if image is None:
                continue
            if last is None:
                stream.height, stream.width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
            else:
                now += max(1, round(TICKS * min(GAP, (recorded.time_ns - last) * 1e-9)))
            last = recorded.time_ns
            pixels = np.ascontiguousarray(image[: stream.height, : stream.width], np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            frame.pts, frame.time_base = now, Fraction(1, TICKS)
            container.mux(stream.encode(frame))
            frames += 1
        if frames:
            container.mux(stream.encode())
    if not frames:
        path.unlink(missing_ok=True)
    return frames
