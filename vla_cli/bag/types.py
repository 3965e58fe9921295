"""Message definitions for bags: what a recorder writes down, and what a reader finds written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vla_cli.bag.topics import OURS, XS
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

PACKAGE = OURS.split("/", maxsplit=1)[0]
ROBOTS_PACKAGES = (XS.split("/", maxsplit=1)[0],)
"""Message packages of some robots' drivers: recorded where they are installed."""


def recording_types() -> Typestore:
    """Jazzy's common types, this package's, and those of robots' drivers that are installed.

    :raises InputError: when this package's message definitions are not installed.
    """
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    for package in (PACKAGE, *ROBOTS_PACKAGES):
        files = _definitions(package)
        if not files and package == PACKAGE:
            raise InputError(
                "no message definitions",
                where=f"share/{PACKAGE}/msg",
                remedy="run `make setup`, or colcon build and source it",
            )
        found = {}
        for file in files:
            found.update(get_types_from_msg(file.read_text(), f"{package}/msg/{file.stem}"))
        store.register(found)
    return store


def _definitions(package: str) -> list[Path]:
    """Files of a package's messages, from the first folder that has any."""
    found = (sorted(folder.glob("*.msg")) for folder in _definition_folders(package))
    return next((files for files in found if files), [])


def _definition_folders(package: str) -> Iterator[Path]:
    """The sourced ROS prefixes, this environment's prefix, and the source tree."""
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    for prefix in (*prefixes, sys.prefix):
        yield Path(prefix) / "share" / package / "msg"
    if package == PACKAGE:
        yield Path(__file__).resolve().parents[2] / "msg"
