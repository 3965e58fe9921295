"""Tensors in plain pickles, without torch: the stream that a storage writes, and the view that a tensor is of it."""

from __future__ import annotations

import io
import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError
from vla_uq.rollouts.interpreter import Restricted

BFLOAT16 = "bfloat16"
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_TYPES = {
    "BFloat16Storage": BFLOAT16,
    "BoolStorage": "|b1",
    "ByteStorage": "|u1",
    "CharStorage": "|i1",
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
    "ShortStorage": "<i2",
}


@dataclass(frozen=True)
class _Reference:
    """What stands for a storage in the stream: its bytes come after the pickles."""

    kind: str
    key: str
    length: int


class _Header(Restricted):
    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, {("torch", name): kind for name, kind in _TYPES.items()})

    def persistent_load(self, pid: Any) -> _Reference:
        tag, kind, key, _location, length, view = pid
        if tag != "storage" or kind not in _TYPES.values() or not isinstance(length, int) or view is not None:
            raise InputError("torch storage is of another kind", found=pid)
        return _Reference(kind, str(key), length)


def parse(raw: bytes) -> NDArray[Any]:
    """The numbers of a storage, (n,), from what ``torch.save`` wrote of it in the format before zip files.

    That is what a tensor's own ``__reduce__`` puts into a pickle: magic number, protocol, platform, one reference to
    a storage, the list of its one key, its length, its bytes.

    :raises InputError: when the stream is another, is cut short, or holds another kind of numbers.
    """
    stream = io.BytesIO(raw)
    magic, protocol, system, reference, keys = (_Header(stream).load() for _ in range(5))
    if (magic, protocol) != (_MAGIC, _PROTOCOL) or not isinstance(system, dict) or not system.get("little_endian"):
        raise InputError("torch storage is of another format", expected=f"protocol {_PROTOCOL}, little-endian")
    if not isinstance(reference, _Reference) or keys != [reference.key]:
        raise InputError("torch storage is of another format", expected="one storage", found=keys)
    (length,) = struct.unpack("<q", stream.read(8))
    data = memoryview(raw)[stream.tell() :]
    size = 2 if reference.kind == BFLOAT16 else np.dtype(reference.kind).itemsize
    if length != reference.length or len(data) != length * size:
        raise InputError("torch storage is cut short", expected=f"{reference.length} numbers", found=len(data) // size)
    return from_bfloat16(data) if reference.kind == BFLOAT16 else np.frombuffer(data, reference.kind)


def from_bfloat16(raw: bytes | bytearray | memoryview) -> NDArray[np.float32]:
    """The values of bfloat16 numbers, exactly: they are the upper halves of float32 numbers."""
    upper = np.frombuffer(raw, "<u2").astype(np.uint32)
    upper <<= 16
    return upper.view(np.float32)


def rebuild(
    storage: Any, offset: Any, shape: Any, strides: Any, _requires_grad: Any, _hooks: Any, _metadata: Any = None
) -> NDArray[Any]:
    """The tensor that is a view of a storage (``torch._utils._rebuild_tensor_v2``).

    :param offset: first element.
    :param strides: elements from one to the next, an axis each.
    :raises InputError: when it reaches beyond the storage, or repeats elements of it.
    """
    numbers = (offset, *shape, *strides)
    whole = all(isinstance(n, int) and n >= 0 for n in numbers) and len(shape) == len(strides)
    if not isinstance(storage, np.ndarray) or storage.ndim != 1 or not whole:
        raise InputError("tensor is malformed", expected="storage, offset, shape and strides", found=numbers)
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if math.prod(shape) > storage.size or (math.prod(shape) and last >= storage.size):
        raise InputError("tensor is not a part of its storage", expected=f"{storage.size} elements", found=numbers)
    if not math.prod(shape):
        return np.zeros(shape, storage.dtype)
    start, steps = storage[offset:], [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(start, shape, steps, writeable=False)
