"""What is in the records of others: fields that are checked, and inferences that become the tensors of an episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError

STEP_DURATIONS = {"libero": 0.05, "widowx": 0.2, "google_robot": 1 / 3, "push_t": 0.2, "sorting": 0.035}
"""Seconds from one action to the next, by how the names of suites and tasks begin; records do not say it."""

Tensors = Mapping[str, NDArray[Any]]


def record_field(record: Any, names: str | Sequence[str], kind: type | tuple[type, ...]) -> Any:
    """A field of a record, checked.

    :param names: one, or several of which the first that is there counts.
    :raises InputError: when it is missing or of another type.
    """
    names = (names,) if isinstance(names, str) else names
    found = next((name for name in names if isinstance(record, Mapping) and name in record), None)
    if found is None:
        raise InputError("record lacks a field", where=names[0], expected=" or ".join(names))
    if not isinstance(record[found], kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        expected = " or ".join(k.__name__ for k in kinds)
        raise InputError("has the wrong type", where=found, expected=expected, found=type(record[found]).__name__)
    return record[found]


def outcome(record: Any, name: str, said_elsewhere: bool) -> bool:
    """Whether an episode succeeded: what the record says, where the file's name agrees.

    :raises InputError: when it is neither yes nor no, or they differ.
    """
    value = record_field(record, name, (bool, int, float))
    if value not in (0, 1) or bool(value) != said_elsewhere:
        raise InputError("outcome is not clear", where=name, expected=f"{said_elsewhere} as in the name", found=value)
    return bool(value)


def stack(steps: Sequence[Tensors]) -> dict[str, NDArray[Any]]:
    """The tensors of an episode, (T, ...), from those of its inferences.

    Tensors of tokens may differ in length: shorter ones are padded at the end with NaN.

    :raises InputError: when there is no step, or one has other tensors or shapes than the first.
    """
    if not steps:
        raise InputError("episode holds no inference")
    stacked: dict[str, NDArray[Any]] = {}
    for name in steps[0]:
        values = [step[name] for step in steps if name in step]
        if name.startswith("token_"):
            longest = max(len(value) for value in values)
            values = [np.pad(value, (0, longest - len(value)), constant_values=np.nan) for value in values]
        shapes = sorted({value.shape for value in values})
        if len(values) < len(steps) or len(shapes) > 1:
            raise InputError(
                "inferences differ in a tensor", where=name, expected="the same shape in all", found=shapes
            )
        stacked[name] = np.stack(values)
    if any(set(step) != set(steps[0]) for step in steps):
        raise InputError("inferences differ in their tensors", expected=", ".join(steps[0]))
    return stacked


def step_duration(*names: str) -> float:
    """See :data:`STEP_DURATIONS`; 0 where nothing is known."""
    return next((s for name in names for start, s in STEP_DURATIONS.items() if name.startswith(start)), 0.0)


def float_array(value: Any, where: str, ndim: int) -> NDArray[np.float32]:
    """An array of numbers with so many axes, as float32.

    :raises InputError: when it is none.
    """
    if not isinstance(value, np.ndarray) or value.ndim != ndim or value.dtype.kind not in "fiub" or not value.size:
        found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise InputError("is no such array", where=where, expected=f"numbers with {ndim} axes", found=found)
    return value.astype(np.float32)
