"""Camera messages become RGB arrays, or are refused by what is wrong with them."""

from __future__ import annotations

import array
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vla_uq.errors import InputError
from vla_uq.images import decode

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
