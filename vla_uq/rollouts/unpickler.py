"""Reads the pickles that others' recorders leave, and nothing else: no file can make anything run.

A pickle is a program. What it may call here is a table of seven functions that make arrays of numpy, tensors of torch
and ordered dicts; any other name is refused by that name. Arrays are put together from checked parts. Torch storages
are parsed (:mod:`vla_uq.rollouts.torch_storage`), for torch's own ``_load_from_bytes`` runs the pickle in them. Neither
torch nor ml_dtypes needs to be installed.
"""

from __future__ import annotations

import io
import math
import re
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError
from vla_uq.rollouts import torch_storage
from vla_uq.rollouts.interpreter import Restricted

EXPANSION = 4
"""Arrays may take so many times the size of the file: bfloat16 becomes float32, and one payload may serve twice."""
_DTYPE = re.compile(r"[biufcSU][1-9]\d{0,8}")


def loads(data: bytes, where: str) -> Any:
    """Numbers, text, lists and dicts of a pickle; arrays and tensors as numpy, bfloat16 as float32.

    :param where: the file, for the message.
    :raises InputError: when it is no pickle, is cut short, or asks for anything that plain records do not need.
    """
    try:
        return _Records(data).load()
    except InputError as error:
        raise error.at(where) from error
    except Exception as error:  # there is no end to what a wrong program can lead an interpreter to
        raise InputError("pickle cannot be read", where=where, found=f"{type(error).__name__}: {error}") from error


class _Dtype:
    """A dtype of numbers or text; numpy's own would take fields and flags from the file, and believe them."""

    def __init__(self, code: Any, align: Any = False, copy: Any = True) -> None:
        if code != torch_storage.BFLOAT16 and not (isinstance(code, str) and _DTYPE.fullmatch(code)):
            raise InputError("pickle holds an array of something else", expected="numbers or text", found=repr(code))
        self.code, self.order = code, "<"

    def build(self, state: Any) -> None:
        order, *structure = state[1:5]
        if order not in ("<", ">", "|", "=") or any(part is not None for part in structure):
            raise InputError("pickle holds an array of something else", expected="numbers or text", found=repr(state))
        self.order = order

    def values(self, raw: bytes | bytearray) -> NDArray[Any]:
        """The (n,) elements in these bytes."""
        if self.code == torch_storage.BFLOAT16:
            return torch_storage.from_bfloat16(raw)
        return np.frombuffer(raw, self.order + self.code)


class _Records(Restricted):
    def __init__(self, data: bytes) -> None:
        self._left = EXPANSION * len(data)
        cores = ("numpy.core", "numpy._core")
        names = {
            ("collections", "OrderedDict"): OrderedDict,
            ("numpy", "ndarray"): "ndarray",
            ("numpy", "dtype"): _Dtype,
            ("ml_dtypes", "bfloat16"): torch_storage.BFLOAT16,
            ("torch._utils", "_rebuild_tensor_v2"): torch_storage.rebuild,
            ("torch.storage", "_load_from_bytes"): self._storage,
            **{(f"{core}.multiarray", "_reconstruct"): _empty for core in cores},
            **{(f"{core}.multiarray", "scalar"): self._scalar for core in cores},
            **{(f"{core}.numeric", "_frombuffer"): self._array for core in cores},
        }
        super().__init__(io.BytesIO(data), names)

    def build(self, target: Any, state: Any) -> None:
        if isinstance(target, _Dtype):
            target.build(state)
        elif isinstance(target, np.ndarray):
            _, shape, dtype, fortran, raw = state
            values = self._array(raw, dtype, shape, "F" if fortran else "C")
            content: Any = (1, values.shape, values.dtype, bool(fortran), values.tobytes("A"))
            target.__setstate__(content)
        else:
            super().build(target, state)

    def _array(self, raw: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
        self._take(raw)
        values = dtype.values(raw)
        if not all(isinstance(n, int) and n >= 0 for n in shape) or math.prod(shape) != values.size:
            raise InputError("array does not fill its shape", expected=shape, found=values.size)
        return values.reshape(shape, order="F" if order == "F" else "C")

    def _scalar(self, dtype: Any, raw: Any) -> Any:
        return self._array(raw, dtype, (), "C").item()

    def _storage(self, raw: Any) -> NDArray[Any]:
        self._take(raw)
        return torch_storage.parse(raw)

    def _take(self, raw: Any) -> None:
        """Count what is made: a small file could use one payload a thousand times."""
        self._left -= len(raw)
        if self._left < 0:
            raise InputError("pickle unfolds to far more than it is", expected=f"at most {EXPANSION} times its size")


def _empty(*_arguments: Any) -> NDArray[Any]:
    """What ``_reconstruct`` makes: an array that is given its content next."""
    return np.zeros(0, np.float32)
