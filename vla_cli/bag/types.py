"""Message definitions for bags: what a recorder writes down, and what a reader finds written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vla_cli.bag.topics import OURS
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

PACKAGE = OURS.split("/", maxsplit=1)[0]


def recording_types() -> Typestore:
    """Jazzy's common types and this package's.

    :raises InputError: when this package's message definitions are not installed.
    """
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    for folder in _definition_folders():
        files = sorted(folder.glob("*.msg"))
        if files:
            found = {}
            for file in files:
                found.update(get_types_from_msg(file.read_text(), f"{OURS}{file.stem}"))
            store.register(found)
            return store
    raise InputError(
        "no message definitions", where=f"share/{PACKAGE}/msg", remedy="run `make setup`, or colcon build and source it"
    )


def _definition_folders() -> Iterator[Path]:
    """The sourced ROS prefixes, this environment's prefix, and the source tree."""
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    for prefix in (*prefixes, sys.prefix):
        yield Path(prefix) / "share" / PACKAGE / "msg"
    yield Path(__file__).resolve().parents[2] / "msg"
