"""Camera messages become RGB arrays, or are refused by what is wrong with them."""

from __future__ import annotations

import array
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from vla_uq.errors import InputError
from vla_uq.images import decode, decode_compressed

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)


def message(encoding: str = "rgb8", padding: int = 0, **fields: Any) -> Any:
    rows = np.pad(PIXELS.reshape(4, 15), ((0, 0), (0, padding)))
    data = array.array("B", rows.tobytes())
    content = {"height": 4, "width": 5, "step": 15 + padding, "encoding": encoding, "data": data}
    return SimpleNamespace(**content | fields)


@pytest.mark.parametrize("padding", [0, 3])
def test_rgb_and_bgr_come_out_as_rgb(padding: int) -> None:
    np.testing.assert_array_equal(decode(message(padding=padding), "wrist", (4, 5)), PIXELS)
    np.testing.assert_array_equal(decode(message("bgr8", padding), "wrist"), PIXELS[:, :, ::-1])


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"encoding": "mono8"}, "rgb8"),
        ({"height": 5}, "5 rows"),
        ({"step": 14}, "14 bytes"),
        ({"width": 6}, "6 pixels"),
        ({"height": 0, "data": b""}, "0 rows"),
        ({"height": 2, "data": bytes(30)}, "expected 5x4"),
    ],
)
def test_what_does_not_fit_is_refused_by_camera_and_reason(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named) as caught:
        decode(message(**fields), "wrist", (4, 5))
    assert "wrist" in str(caught.value)


@pytest.mark.parametrize("encoding", ["rgba8", "bgra8"])
def test_a_fourth_channel_is_passed_over(encoding: str) -> None:
    pixels = PIXELS if encoding == "rgba8" else PIXELS[:, :, ::-1]
    data = np.dstack([pixels, np.full((4, 5), 7, np.uint8)]).tobytes()
    np.testing.assert_array_equal(decode(message(encoding, step=20, data=data), "wrist", (4, 5)), PIXELS)
    with pytest.raises(InputError, match="5 pixels"):
        decode(message(encoding), "wrist")


def compressed(extension: str, text: str, picture: Any = PIXELS[:, :, ::-1]) -> Any:
    """As a driver sends it; ``picture`` is what OpenCV takes, blue first."""
    done, data = cv2.imencode(extension, picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert done
    return SimpleNamespace(format=text, data=array.array("B", data.tobytes()))


@pytest.mark.parametrize("text", ["png", "rgb8; png compressed bgr8", "bgr8; png compressed bgr8"])
def test_png_is_the_raw_image(text: str) -> None:
    np.testing.assert_array_equal(decode_compressed(compressed(".png", text), "wrist", (4, 5)), PIXELS)


@pytest.mark.parametrize("text", ["rgb8; png compressed rgb8", "bgr8; jpeg compressed ", "rgb8; jpeg compressed rgb8"])
def test_red_and_blue_are_exchanged_where_the_format_says_that_they_were(text: str) -> None:
    """As image_transport's own reader: anything behind the semicolon but ``compressed bgr``."""
    got = decode_compressed(compressed(".png", text, PIXELS), "wrist")
    np.testing.assert_array_equal(got, PIXELS)


@pytest.mark.parametrize("text", ["jpeg", "rgb8; jpeg compressed bgr8"])
def test_jpeg_is_nearly_the_raw_image(text: str) -> None:
    """Golden: red on the left, blue on the right, and between them a slope."""
    slope = np.linspace(0, 255, 64).astype(np.uint8)
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, :, 0], picture[:, :, 2] = 255 - slope, slope
    got = decode_compressed(compressed(".jpg", text, picture[:, :, ::-1]), "wrist", (48, 64))
    assert np.abs(got.astype(int) - picture).max() <= 6
    assert got[0, 0, 0] > 240 and got[0, -1, 2] > 240


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (SimpleNamespace(format="jpeg", data=b"not a picture"), "a JPEG or PNG file; found 13 bytes of format 'jpeg'"),
        (SimpleNamespace(format="jpeg", data=b""), "0 bytes"),
        (compressed(".png", "mono8; png compressed ", PIXELS[:, :, 0]), "expected 3 channels of uint8; found 1"),
        (compressed(".png", "16UC1; png compressed ", PIXELS[:, :, 0].astype(np.uint16)), "1 of uint16"),
        (compressed(".png", "rgba8; png", np.dstack([PIXELS, PIXELS[:, :, 0]])), "found 4 of uint8"),
        (compressed(".png", "png", PIXELS[:2]), "expected 5x4; found 5x2"),
    ],
)
def test_a_compressed_image_that_does_not_fit_is_refused(broken: Any, named: str) -> None:
    with pytest.raises(InputError, match=named) as caught:
        decode_compressed(broken, "wrist", (4, 5))
    assert "image of wrist" in str(caught.value)
