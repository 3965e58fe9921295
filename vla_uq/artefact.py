"""One safetensors file with a JSON document in its header: how rollouts and bundles lie on disk.

Nothing in such a file can run code. Writing goes through a temporary file in the same folder and a rename, so that a
reader never sees half a file; every fault in reading is an :class:`InputError` that names the file.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialise

from vla_uq.errors import InputError

Tensors = Mapping[str, NDArray[Any]]
T = TypeVar("T")

HEADER = "vla_monitor"
"""The only metadata key: safetensors stores several in random order, and equal content should give equal bytes."""


def write(path: Path, kind: str, schema: int, document: Mapping[str, Any], tensors: Tensors) -> None:
    """Write atomically; missing folders are made.

    :param kind: what the file is, checked when it is read.
    :param document: JSON values; NaN and infinities are refused, since JSON has none.
    :raises InputError: when the document is not JSON or the file cannot be written.
    """
    try:
        header = json.dumps({"kind": kind, "schema": schema, "document": document}, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError("metadata is not JSON", where=str(path), found=error) from error
    # safetensors writes the memory as it lies: anything but row-major would come back scrambled.
    data = serialise({name: np.ascontiguousarray(value) for name, value in tensors.items()}, {HEADER: header})
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # where even the folder is none, there is nothing to remove
            temporary.unlink(missing_ok=True)
        raise InputError("cannot be written", where=str(path), found=error.strerror) from error


def read_document(path: Path, kind: str, schema: int) -> dict[str, Any]:
    """Read the JSON document alone; tensors stay on disk.

    :raises InputError: when the file is missing, broken, of another kind or of another schema.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error
    if HEADER not in metadata:
        raise InputError("not a file of this project", where=f"{path}: metadata {HEADER}", expected=kind)
    try:
        header = json.loads(metadata[HEADER])
    except ValueError as error:
        raise InputError("is not JSON", where=f"{path}: metadata {HEADER}", found=error) from error
    found = header.get("kind") if isinstance(header, dict) else None
    if found != kind:
        raise InputError("is another kind of file", where=f"{path}: kind", expected=kind, found=found)
    if header.get("schema") != schema:
        raise InputError(
            "has another schema",
            where=f"{path}: schema",
            expected=schema,
            found=header.get("schema"),
            remedy="make the file again with this version",
        )
    document = header.get("document")
    if not isinstance(document, dict):
        raise InputError("has no document", where=f"{path}: document")
    return document


def read_tensors(path: Path, names: list[str] | None = None) -> dict[str, NDArray[Any]]:
    """Read the named tensors, or all.

    :raises InputError: when the file or a tensor is missing or broken.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in (file.keys() if names is None else names)}
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors, without reading them.

    :raises InputError: when the file is missing or broken.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def field(document: Mapping[str, Any], name: str, kind: type[T], where: str) -> T:
    """A field of a JSON document, checked; an integer passes for a float.

    :raises InputError: when it is missing or of another type, naming ``where`` and the field.
    """
    if name not in document:
        raise InputError("is missing", where=f"{where}: {name}")
    value = document[name]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(
            "has the wrong type", where=f"{where}: {name}", expected=kind.__name__, found=type(value).__name__
        )
    return value


def _unreadable(path: Path, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError("no such file", where=str(path))
    return InputError("cannot be read", where=str(path), found=error)
