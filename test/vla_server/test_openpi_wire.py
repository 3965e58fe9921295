"""The codec: what it carries comes back the same, and what is not a message is refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla_policy.openpi_wire import POLICY, Announcement, pack, unpack
from vla_uq.errors import InputError

msgpack = pytest.importorskip("msgpack")
KINDS = st.sampled_from(["?", "|u1", "<i4", "<i8", "<f4", "<f8", ">f4"]).map(np.dtype)
ARRAYS = KINDS.flatmap(lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)))
ANNOUNCED = Announcement("ab12", 2, "EE_DELTA", "MEASURED", ("x", "y"), 16, 0.05, 8, {"nodes": "the last 3 of 9"})


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(max_size=9), ARRAYS, max_size=4))
def test_arrays_come_back_the_same(content: dict[str, Any]) -> None:
    back = unpack(pack(content))
    assert back.keys() == content.keys()
    for name, array in content.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_arrays_travel_as_openpi_sends_them() -> None:
    state = np.arange(3, dtype=np.float32)
    sent = msgpack.unpackb(pack({"observation/state": state, "reward": np.float32(0.5)}))
    assert sent["observation/state"] == {
        b"__ndarray__": True,
        b"data": state.tobytes(),
        b"dtype": "<f4",
        b"shape": [3],
    }
    assert sent["reward"] == {b"__npgeneric__": True, b"data": 0.5, b"dtype": "<f4"}


@given(st.binary(max_size=200))
def test_garbage_is_a_map_or_refused(message: bytes) -> None:
    try:
        assert isinstance(unpack(message), dict)
    except InputError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "array",
    [
        {b"__ndarray__": True},
        {b"__ndarray__": True, b"data": b"1234", b"dtype": "<f4", b"shape": [2]},
        {b"__ndarray__": True, b"data": b"1234", b"dtype": "|O", b"shape": [1]},
        {b"__ndarray__": True, b"data": b"1234", b"dtype": "f4,f4", b"shape": [1]},
        {b"__ndarray__": True, b"data": b"", b"dtype": "<f4", b"shape": [-1, 0]},
        {b"__ndarray__": True, b"data": b"1234", b"dtype": ["<f4"], b"shape": [1]},
        {b"__npgeneric__": True, b"data": 10**18, b"dtype": "|i1"},
    ],
)
def test_wrong_arrays_are_refused(array: dict[bytes, Any]) -> None:
    with pytest.raises(InputError):
        unpack(msgpack.packb({"x": array}))


@pytest.mark.parametrize("value", [np.array(["text"]), np.array([1j]), object(), np.array([object()])])
def test_what_cannot_travel_is_not_sent(value: Any) -> None:
    with pytest.raises(InputError, match="cannot be sent"):
        pack({"x": value})


def test_an_announcement_comes_back() -> None:
    assert Announcement.read(unpack(pack({POLICY: ANNOUNCED.as_map()}))) == ANNOUNCED


def test_a_stock_server_announces_nothing() -> None:
    assert Announcement.read({"anything": 1}) is None


@pytest.mark.parametrize("field", ["fingerprint", "members", "names", "step_duration", "remarks"])
def test_a_wrong_announcement_names_its_field(field: str) -> None:
    with pytest.raises(InputError, match=field):
        Announcement.read({POLICY: ANNOUNCED.as_map() | {field: None}})
