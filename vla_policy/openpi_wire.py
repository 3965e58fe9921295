"""The wire between a policy server and its clients: openpi's, with additions that its own clients never see.

One websocket message is one msgpack map; arrays travel as in openpi: ``{b"__ndarray__": True, b"data", b"dtype",
b"shape"}``, numpy scalars as ``{b"__npgeneric__": True, b"data", b"dtype"}``. Strictly one request is in flight.

1. The server speaks first: its metadata map. A stock server's may hold anything, ours also holds :data:`INTROSPECTION`,
   a list of the tensors that it offers (names of ``PolicyTrace``), and :data:`POLICY`, see :class:`Announcement`.
   Neither there: the policy can act, and nothing can be looked into.
2. The client sends an observation map, the server answers with a map. Of an openpi server it holds ``actions``
   (H, A), and times under ``policy_timing`` and ``server_timing``. Ours adds ``inference``, its number on this
   connection from 0, and ``gripper`` (H,), 0 closed to 1 open, where the policy has one.
3. A request may also hold :data:`RESET`, ``{"seed": int | None}``: forget the episode before, prior to anything else;
   and :data:`INTROSPECT`, ``{"tensors": [name, …], "inference": n}``: the reply holds :data:`INTROSPECTION`, a map of
   name to float32 array. Both are optional in it: all tensors, and the newest inference. With an observation the
   reply holds actions and tensors together; without one it is about the newest inference of this connection, so that
   actions can be had first and their analysis afterwards. A request with neither is an observation like any other.
4. Errors: one TEXT message, then close 1011. In openpi it is a traceback; ours is one line.

``GET /healthz`` on the same port answers OK. A key, where the server asks for one: ``Authorization: Api-Key …``.

Observations as openpi's LIBERO servers take them, and ours for the policies of this project: ``observation/image`` and
``observation/wrist_image`` (H, W, 3) uint8 RGB, ``observation/state`` (8,): position (m), rotation vector (rad) of the
grip frame, the two fingers' positions (m, the second negative), and ``prompt``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError

PORT = 8000
MAX_MESSAGE = 64 * 2**20
"""Bytes of the largest message that is read unless told otherwise; a dozen uncompressed camera images fit."""
INTERNAL_ERROR = 1011
"""Close code after an error."""
INTROSPECTION, INTROSPECT, RESET, POLICY, INFERENCE = "introspection", "introspect", "reset", "policy", "inference"
ACTIONS, GRIPPER, PROMPT = "actions", "gripper", "prompt"
IMAGE, WRIST_IMAGE, STATE = "observation/image", "observation/wrist_image", "observation/state"
_KINDS = "biuf"
"""Kinds of arrays that travel: no objects, no strings, no records."""
_TYPES: dict[str, Any] = {
    "int": int,
    "float": (int, float),
    "str": str,
    "tuple[str, ...]": list,
    "Mapping[str, str]": dict,
}
"""What an annotation of :class:`Announcement` is on the wire."""


@dataclass(frozen=True)
class Announcement:
    """What a server of ours says of its policy in its metadata, under :data:`POLICY`.

    :param fingerprint: changes whenever the policy's outputs could.
    :param members: networks of the ensemble; member 0 acts.
    :param space: name in :class:`vla_uq.contracts.Space`.
    :param reference: name in :class:`vla_uq.contracts.Reference`.
    :param names: of the columns of ``actions``, in the units of the space.
    :param horizon: actions in a chunk.
    :param step_duration: seconds from one action to the next.
    :param execute_steps: actions executed before the next inference is due.
    :param remarks: what people should know of it, name to text.
    """

    fingerprint: str
    members: int
    space: str
    reference: str
    names: tuple[str, ...]
    horizon: int
    step_duration: float
    execute_steps: int
    remarks: Mapping[str, str] = field(default_factory=dict)

    def as_map(self) -> dict[str, Any]:
        """As it travels."""
        return asdict(self) | {"names": list(self.names), "remarks": dict(self.remarks)}

    @classmethod
    def read(cls, metadata: Mapping[Any, Any]) -> Announcement | None:
        """The announcement in a server's metadata; None: the server is not one of ours.

        :raises InputError: when a field is missing or of another type.
        """
        if POLICY not in metadata:
            return None
        content, where = metadata[POLICY], f"metadata: {POLICY}"
        if not isinstance(content, Mapping):
            raise InputError("not a map", where=where, found=type(content).__name__)
        values: dict[str, Any] = {}
        for one in fields(cls):
            value = content.get(one.name)
            if not isinstance(value, _TYPES[str(one.type)]) or isinstance(value, bool):
                raise InputError("wrong field", where=f"{where}.{one.name}", expected=one.type, found=repr(value)[:80])
            values[one.name] = tuple(map(str, value)) if isinstance(value, list) else value
        return cls(**values)


def pack(content: Mapping[str, Any]) -> bytes:
    """A map as one message.

    :raises InputError: when it holds something that cannot travel.
    """
    try:
        return bytes(msgpack.packb(content, default=_tagged))
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError("cannot be sent", where="message", found=str(error)) from error


def unpack(message: bytes) -> dict[Any, Any]:
    """A message as a map; its arrays are read-only views of the message.

    :raises InputError: when it is not one, or an array in it does not fit its shape.
    """
    try:
        content = msgpack.unpackb(message, object_hook=_restored, raw=False)
    except InputError:
        raise
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        found = str(error) or type(error).__name__
        raise InputError("not a msgpack message", where="message", expected="one map", found=found[:200]) from error
    if not isinstance(content, dict):
        raise InputError("not a map", where="message", expected="one map", found=type(content).__name__)
    return content


def _tagged(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind not in _KINDS:
        raise TypeError(f"an array of {value.dtype}")
    if isinstance(value, np.ndarray):
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    if isinstance(value, np.generic):
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    raise TypeError(f"a {type(value).__name__}")


def _restored(content: dict[Any, Any]) -> Any:
    if b"__ndarray__" in content:
        return _array(content)
    if b"__npgeneric__" in content:
        return _kind(content.get(b"dtype")).type(content.get(b"data"))
    return content


def _array(content: dict[Any, Any]) -> NDArray[Any]:
    data, shape, kind = content.get(b"data"), content.get(b"shape"), _kind(content.get(b"dtype"))
    sizes = shape if isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape) else None
    if not isinstance(data, bytes) or sizes is None or len(data) != math.prod(sizes) * kind.itemsize:
        size = len(data) if isinstance(data, bytes) else type(data).__name__
        raise InputError("array does not fit its shape", where="message", expected=f"{shape} {kind}", found=size)
    return np.frombuffer(data, kind).reshape(sizes)


def _kind(name: Any) -> np.dtype[Any]:
    try:
        kind = np.dtype(name) if isinstance(name, str) else None
    except TypeError:
        kind = None
    if kind is None or kind.kind not in _KINDS:
        raise InputError("not a number type", where="message", expected="bool, int or float", found=repr(name)[:80])
    return kind
