"""The pickles that recorders leave are read without torch; no other pickle does anything."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import struct
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vla_uq.errors import InputError
from vla_uq.rollouts.unpickler import loads

BF16 = torch.randn(4, 7, 16, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
ARRAYS = {
    "plain": np.arange(6).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(16, dtype=np.float32).reshape(4, 4)[:, 1],
    "bfloat16": np.arange(4).astype(ml_dtypes.bfloat16).reshape(2, 2),
    "big-endian": np.arange(4, dtype=">i4"),
    "text": np.array(["a", "bcd"]),
    "truth": np.array([True, False]),
    "scalar": np.array(3.5),
    "empty": np.zeros((0, 2), np.float32),
}
TENSORS = {
    "bfloat16": BF16,
    "part": BF16[1],
    "transposed": BF16.float()[:, 1].T,
    "half": torch.arange(3).half(),
    "integers": torch.arange(5),
    "truth": torch.tensor([True, False]),
    "scalar": torch.tensor(3.0),
    "empty": torch.zeros(0, 3),
    "learnt": torch.ones(2, requires_grad=True),
}


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_what_recorders_write(protocol: int) -> None:
    plain = {"n": 1, "x": 0.5, "text": "ü", "yes": True, "none": None, "list": [1, (2, 3)], "many": list(range(3000))}
    scalars = {"f": np.float32(2), "b": np.bool_(True), "i": np.int64(10**12), "s": np.str_("abc")}
    record = {**plain, "scalars": scalars, "arrays": ARRAYS, "tensors": TENSORS, "ordered": OrderedDict(a=1)}
    got = loads(pickle.dumps(record, protocol), "f.pkl")
    assert {name: got[name] for name in plain} == plain
    assert got["scalars"] == {"f": 2.0, "b": True, "i": 10**12, "s": "abc"}
    assert got["ordered"] == OrderedDict(a=1)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(got["arrays"][name], array, err_msg=name)
        assert got["arrays"][name].shape == array.shape
    for name, tensor in TENSORS.items():
        expected = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
        np.testing.assert_array_equal(got["tensors"][name], expected.numpy(), err_msg=name)
    assert got["arrays"]["bfloat16"].dtype == got["tensors"]["bfloat16"].dtype == np.float32


def test_numpy_before_2_named_its_modules_otherwise() -> None:
    data = pickle.dumps([np.arange(3), np.float32(1)], 3)
    old = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != data
    np.testing.assert_array_equal(loads(old, "old.pkl")[0], [0, 1, 2])


def test_neither_torch_nor_ml_dtypes_is_needed(tmp_path: Path) -> None:
    (tmp_path / "r.pkl").write_bytes(pickle.dumps([BF16, ARRAYS["bfloat16"]]))
    code = (
        "import sys; sys.modules['torch'] = sys.modules['ml_dtypes'] = None\n"
        "from vla_uq.rollouts.unpickler import loads\n"
        "print(loads(open(sys.argv[1], 'rb').read(), 'r.pkl')[0].sum())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "r.pkl")], capture_output=True, text=True, cwd=Path.cwd()
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(float(BF16.float().numpy().sum()))


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


class Builds(OrderedDict[str, int]):
    """Pickles as an ordered dict that is given attributes."""

    def __reduce__(self) -> Any:
        return OrderedDict, (), {"items": 1}


def opcodes(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


class Sneaky:
    """A torch storage's stream whose pickles call something."""

    def __reduce__(self) -> Any:
        return torch.storage._load_from_bytes, (pickle.dumps(Calls(os.system, "touch hostile"), 2),)


def zip_storage() -> Any:
    stream = io.BytesIO()
    torch.save(torch.ones(2), stream)
    return Calls(torch.storage._load_from_bytes, stream.getvalue())


HOSTILE = {
    "os.system": (pickle.dumps(Calls(os.system, "touch hostile")), "posix.system"),
    "builtins.eval": (pickle.dumps(Calls(builtins.eval, "open('hostile', 'w')")), "builtins.eval"),
    "in a list in a dict": (pickle.dumps({"a": [1, Calls(os.system, "touch hostile")]}), "posix.system"),
    "an argument of a call": (
        pickle.dumps(Calls(OrderedDict, Calls(builtins.getattr, "x", "upper"))),
        "builtins.getattr",
    ),
    "nested reduce": (pickle.dumps(Calls(Calls, Calls(os.system, "touch hostile"))), "Calls"),
    "inside a torch storage": (pickle.dumps(Sneaky()), "posix.system"),
    "a whole torch file in a storage": (pickle.dumps(zip_storage()), "cannot be read"),
    "torch.load": (pickle.dumps(Calls(torch.load, "hostile")), "torch.serialization.load"),
    "protocol 2": (pickle.dumps(Calls(os.system, "touch hostile"), 2), "posix.system"),
    "INST": (b"\x80\x02(X\x0d\x00\x00\x00touch hostileiposix\nsystem\n.", "no record needs the step INST"),
    "OBJ": (b"\x80\x02(cposix\nsystem\nX\x01\x00\x00\x00ao.", "posix.system"),
    "an object made anew": (pickle.dumps(Path("hostile")), "pathlib"),
    "an attribute of a module": (opcodes(text("numpy"), text("ndarray.tofile"), b"\x93"), "numpy.ndarray.tofile"),
    "an attribute of an attribute": (opcodes(text("collections"), text("OrderedDict.fromkeys"), b"\x93"), "fromkeys"),
    "attributes of an object": (pickle.dumps(Builds()), "gives a state to a OrderedDict"),
    "attributes of a class": (
        opcodes(text("collections"), text("OrderedDict"), b"\x93", b"}", text("a"), b"K\x01s", b"b"),
        "gives a state to a type",
    ),
    "a call of what it made itself": (opcodes(b"K\x01", b")", b"R"), "not in the table"),
    "an array of objects": (pickle.dumps(np.array([Calls(os.system, "touch hostile")])), "numbers or text"),
    "an array of plain objects": (pickle.dumps(np.array([None, 1], object)), "numbers or text"),
    "an array with fields": (pickle.dumps(np.zeros(2, [("a", "f4"), ("b", "i4")])), "numbers or text"),
    "an extension": (b"\x80\x02\x82\x01.", "no record needs the step EXT1"),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_a_hostile_pickle_is_refused_by_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data, reason = HOSTILE[name]
    with pytest.raises(InputError, match=r"bad\.pkl: .*pickle|storage") as raised:
        loads(data, "bad.pkl")
    assert reason in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_the_hostile_ones_would_have_worked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(HOSTILE["os.system"][0])
    assert (tmp_path / "hostile").exists()


def storage(*, key: str = "0", length: int = 4, data: bytes = bytes(16), kind: str = "FloatStorage") -> bytes:
    """A storage's stream, of parts that need not fit together."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    numbers = [0x1950A86A20F9469CFC6C, 1001, system]
    reference = (
        b"\x80\x02(X\x07\x00\x00\x00storagectorch\n" + kind.encode() + b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    )
    reference += b"K" + bytes([length]) + b"NtQ."
    parts = [*(pickle.dumps(number, 2) for number in numbers), reference, pickle.dumps([key], 2)]
    return b"".join(parts) + struct.pack("<q", length) + data


def tensor(raw: bytes, offset: Any = 0, shape: Any = (4,), strides: Any = (1,)) -> bytes:
    class Tensor:
        def __reduce__(self) -> Any:
            whole = Calls(torch.storage._load_from_bytes, raw)
            return torch._utils._rebuild_tensor_v2, (whole, offset, shape, strides, False, OrderedDict())

    return pickle.dumps(Tensor())


def test_a_storage_of_parts_is_read() -> None:
    np.testing.assert_array_equal(loads(tensor(storage()), "t"), np.zeros(4, np.float32))


@pytest.mark.parametrize(
    ("raw", "view"),
    [
        (storage(data=bytes(12)), {}),
        (storage(data=bytes(20)), {}),
        (storage(key="1"), {}),
        (storage(kind="ComplexFloatStorage"), {}),
        (storage()[:40], {}),
        (storage(), {"offset": 1}),
        (storage(), {"offset": -1, "shape": (1,)}),
        (storage(), {"shape": (5,)}),
        (storage(), {"shape": (2,), "strides": (4,)}),
        (storage(), {"shape": (2, 2), "strides": (-1, 1)}),
        (storage(), {"shape": (10**6, 10**6), "strides": (0, 0)}),
        (storage(), {"shape": (2,), "strides": (1, 1)}),
        (storage(), {"shape": (2.0,)}),
    ],
)
def test_a_tensor_that_leaves_its_storage_is_refused(raw: bytes, view: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="t: "):
        loads(tensor(raw, **view), "t")


def array(shape: Any, raw: bytes, code: str = "f4") -> bytes:
    class Array:
        def __reduce__(self) -> Any:
            empty = np.zeros(0)
            function, arguments, _ = empty.__reduce__()
            return function, arguments, (1, shape, np.dtype(code), False, raw)

    return pickle.dumps(Array())


@pytest.mark.parametrize(
    ("shape", "raw"),
    [
        ((3,), bytes(8)),
        ((-1, -2), bytes(8)),
        ((2,), bytes(9)),
        ((2.0,), bytes(8)),
        ((10**10,), bytes(8)),
        (2, bytes(8)),
    ],
)
def test_an_array_that_does_not_fit_its_bytes_is_refused(shape: Any, raw: bytes) -> None:
    np.testing.assert_array_equal(loads(array((2,), bytes(8)), "a"), [0, 0])
    with pytest.raises(InputError, match="a: "):
        loads(array(shape, raw), "a")


def test_a_small_file_cannot_fill_the_memory() -> None:
    payload = bytes(1_000_000)
    data = pickle.dumps([_Shared(payload) for _ in range(200)])
    assert len(data) < 1_100_000  # the pickler writes one and the same object once
    with pytest.raises(InputError, match="unfolds to far more than it is"):
        loads(data, "bomb")
    claims = b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"."
    with pytest.raises(InputError, match="bomb: "):
        loads(claims, "bomb")
    far = b"\x80\x04Nr\xff\xff\xff\xff."  # a memo with four thousand million places
    assert loads(far, "memo") is None


class _Shared:
    """An array whose bytes are one object that others have too."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload

    def __reduce__(self) -> Any:
        function, arguments, _ = np.zeros(0).__reduce__()
        return function, arguments, (1, (len(self.payload),), np.dtype("u1"), False, self.payload)


@pytest.mark.parametrize("cut", [0, 1, 10, 100, -1])
def test_a_cut_file_is_named(cut: int) -> None:
    data = pickle.dumps({"a": ARRAYS, "t": TENSORS})
    with pytest.raises(InputError, match=r"cut\.pkl: pickle cannot be read"):
        loads(data[:cut], "cut.pkl")


@given(st.data())
def test_bytes_of_any_kind_are_read_or_refused(data: st.DataObject) -> None:
    good = bytearray(pickle.dumps({"t": BF16[0], "a": ARRAYS["plain"], "n": [1, "x"]}))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        loads(bytes(good), "any.pkl")
    except InputError as error:
        assert "any.pkl" in str(error)
