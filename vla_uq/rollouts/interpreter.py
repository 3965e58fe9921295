"""An interpreter of pickles that knows only what it was given: names from a table, steps from a list."""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from vla_uq.errors import InputError

# fmt: off
_OPCODES = frozenset({
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1",
    "LONG4", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES",
    "BINBYTES8", "BYTEARRAY8", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2",
    "TUPLE3", "EMPTY_DICT", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET",
    "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "BINPERSID",
})
# fmt: on
"""What ``pickle.dump`` writes for plain records from protocol 2 on."""
_BASE = pickle._Unpickler


class _Steps(dict[int, Callable[..., None]]):
    def __missing__(self, code: int) -> Callable[..., None]:
        name = next((op.name for op in pickletools.opcodes if ord(op.code) == code), hex(code))
        raise pickle.UnpicklingError(f"no record needs the step {name}")


class Restricted(_BASE):
    """The standard library's interpreter, the one in Python: there every step can be held to rules.

    :param stream: a pickle at its position.
    :param names: (module, name) to what stands for it; only these can be named, and only functions among them called.
    """

    stack: list[Any]
    read: Callable[[int], bytes]
    append: Callable[[Any], None]

    def __init__(self, stream: io.BytesIO, names: Mapping[tuple[str, str], Any]) -> None:
        super().__init__(stream)
        self._names = names

    def load(self) -> Any:
        try:
            return super().load()
        finally:
            # It refers to itself: the file and all that was made of it would stay until the next garbage collection.
            self.__dict__.clear()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._names:
            raise InputError(
                "pickle asks for something that no record needs",
                expected="numbers, text, arrays and tensors",
                found=f"{module}.{name}",
                remedy="nothing of it was run; do not open this file with pickle or torch",
            )
        return self._names[module, name]

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        function: Callable[..., Any] = self.stack[-1]
        if not any(function is known for known in self._names.values()):
            raise pickle.UnpicklingError("calls something that is not in the table")
        self.stack[-1] = function(*arguments)

    def load_build(self) -> None:
        # The base class would set attributes of anything, classes and functions included.
        state = self.stack.pop()
        self.build(self.stack[-1], state)

    def build(self, target: Any, state: Any) -> None:
        """Give an object its state, in place."""
        raise pickle.UnpicklingError(f"gives a state to a {type(target).__name__}")

    def load_bytearray8(self) -> None:
        # The base class makes room for as many bytes as the file claims to have.
        (length,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(length)))

    dispatch: ClassVar[dict[int, Callable[..., None]]] = _Steps(
        {
            **{ord(op.code): _BASE.dispatch[ord(op.code)] for op in pickletools.opcodes if op.name in _OPCODES},
            pickle.REDUCE[0]: load_reduce,
            pickle.BUILD[0]: load_build,
            pickle.BYTEARRAY8[0]: load_bytearray8,
        }
    )
