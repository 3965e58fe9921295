"""From what a policy was thinking, a tensor with tokens, actions or flow steps on an axis, to one feature vector."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError

Operation: TypeAlias = float | str
"""How the axis goes away: see :func:`aggregate`."""

_COUNTED = re.compile(r"concat-(\d+)")
_SLICED = re.compile(r"concat-(-?\d*):(-?\d*)(?::(-?\d*))?")


def aggregate(values: NDArray[Any], operation: Operation) -> NDArray[np.float32]:
    """Reduce the last axis but one, as the loaders of SAFE do (vla-safe/SAFE, ``data/utils.py``).

    Values are float32 before anything is added: a mean that is accumulated in bfloat16, as theirs of pi0-FAST is,
    has an error of a fifth of what tells one feature from another.

    :param values: (..., n, D).
    :param operation: a float from 0 to 1, the element at that part of the axis, to the nearest (halves to the even
        one): 0.0 the first, 1.0 the last; ``mean``; ``concat``, all elements side by side; ``concat-K``, K >= 2
        elements at equal distances from the first to the last, side by side; ``concat-a:b`` or ``concat-a:b:c``,
        that slice, side by side.
    :returns: (..., D) for an element and the mean, (..., k D) for k elements side by side.
    :raises InputError: when there is no such axis or element, or no such operation; an integer is none, for 1 could
        be the second element as well as the last.
    """
    if values.ndim < 2 or values.shape[-2] < 1:
        raise InputError("has no axis to aggregate", where="tensor", expected="... x n x D", found=values.shape)
    n = values.shape[-2]
    if isinstance(operation, float):
        if not 0.0 <= operation <= 1.0:
            raise InputError("is outside the axis", where="aggregation", expected="0.0 to 1.0", found=operation)
        return values[..., round((n - 1) * operation), :].astype(np.float32)
    if operation == "mean":
        return values.astype(np.float32, copy=False).mean(axis=-2)
    chosen = values[..., _selection(operation, n), :].astype(np.float32)
    if chosen.shape[-2] < 1:
        raise InputError("selects nothing", where="aggregation", expected=f"a part of {n}", found=operation)
    return chosen.reshape(*chosen.shape[:-2], -1)


def _selection(operation: Operation, n: int) -> Any:
    """What the elements side by side are, as an index of the axis."""
    if operation == "concat":
        return slice(None)
    if isinstance(operation, str) and (counted := _COUNTED.fullmatch(operation)) and int(counted[1]) >= 2:
        return np.round(np.linspace(0, n - 1, int(counted[1]))).astype(int)
    if isinstance(operation, str) and (sliced := _SLICED.fullmatch(operation)) and sliced[3] not in ("0", "-0"):
        return slice(*(int(part) if part else None for part in sliced.groups()))
    raise InputError(
        "no such aggregation",
        where="aggregation",
        expected="a float from 0.0 to 1.0, mean, concat, concat-K with K >= 2, or concat-a:b:c",
        found=repr(operation),
        remedy="write 0.0 for the first and 1.0 for the last" if isinstance(operation, int) else "",
    )
