"""Synthetic bags: messages of the bag's own types, written without ROS."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_cli.bag.writer import BagWriter

ZEROS: dict[str, Any] = {"string": "", "bool": False, "float32": 0.0, "float64": 0.0}


def blank(types: Any, name: str) -> Any:
    """A message with all fields zero or empty."""
    from rosbags.interfaces import Nodetype

    fields = {}
    for field, (kind, detail) in types.fielddefs[name][1]:
        if kind == Nodetype.NAME:
            fields[field] = blank(types, detail)
        elif kind == Nodetype.BASE:
            fields[field] = ZEROS.get(detail[0], 0)
        else:
            (inner, element), length = detail
            numeric = inner == Nodetype.BASE and element[0] != "string"
            size = length if kind == Nodetype.ARRAY else 0
            fields[field] = np.zeros(size, element[0]) if numeric else []
    return types.types[name](**fields)


Row = tuple[int, str, str, dict[str, Any]]
WriteBag = Callable[[Path, Iterable[Row]], Path]


@pytest.fixture
def write_bag() -> WriteBag:
    """Writes (time ns, topic, type, fields) rows into a folder; a field's name may be a dotted path."""
    return _write


def _write(folder: Path, messages: Iterable[Row]) -> Path:
    writer = BagWriter(folder)
    listed = list(messages)
    writer.add({topic: kind for _, topic, kind, _ in listed}.items())
    for time_ns, topic, kind, fields in listed:
        message = blank(writer.types, kind)
        for path, value in fields.items():
            *parents, last = path.split(".")
            target = message
            for parent in parents:
                target = getattr(target, parent)
            object.__setattr__(target, last, value)
        writer.write_message(topic, time_ns, message)
    writer.close()
    return folder
