"""From a mapping, as YAML gives it, to the dataclasses of a profile; what does not fit is named to the field."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from supervisor_node.arms import parts
from vla_uq.errors import InputError

_KINDS = {"str": "a text", "tuple[str, ...]": "a list of texts", "float": "a finite number"}


def build(kind: Any, content: Any, file: str, path: str = "") -> Any:
    """Make a dataclass from a mapping, by the types that its fields declare; fields with a default may be missing.

    :param path: of ``content`` in the file, for messages.
    :raises InputError: a field is missing, unknown, or of the wrong kind.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    needed = {name for name, field in fields.items() if field.default is dataclasses.MISSING}
    where = f"{file}: {path}" if path else file
    if not isinstance(content, dict):
        raise InputError("not a mapping", where=where, expected=", ".join(fields), found=type(content).__name__)
    missing, unknown = needed - set(content), set(content) - set(fields)
    for names, what in ((missing, "field is missing"), (unknown, "unknown field")):
        if names:
            raise InputError(what, where=where, found=", ".join(sorted(map(str, names))), expected=", ".join(fields))
    values = {}
    for name, value in content.items():
        inner = f"{path}.{name}" if path else name
        values[name] = _value(str(fields[name].type).removesuffix(" | None"), value, file, inner)
    return kind(**values)


def _value(declared: str, value: Any, file: str, path: str) -> Any:
    if declared == "str" and isinstance(value, str):
        return value
    if declared == "tuple[str, ...]" and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if declared == "float" and _number(value):
        return float(value)
    if declared == "Vector" and isinstance(value, list) and value and all(map(_number, value)):
        return np.array(value, np.float64)
    if declared not in _KINDS and declared != "Vector":
        return build(getattr(parts, declared), value, file, path)
    expected = _KINDS.get(declared, "a list of finite numbers")
    raise InputError("wrong kind of value", where=f"{file}: {path}", expected=expected, found=repr(value))


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))
