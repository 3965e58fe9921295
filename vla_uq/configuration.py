"""Where the files of ``config/`` lie: in the source tree, or in an installation's share folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vla_uq.errors import InputError

DDS = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""Environment variables by which Fast DDS finds its profile, before version 3 and since."""


def folders(kind: str) -> list[Path]:
    """The folders ``config/<kind>`` that there are, the source tree's first."""
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p] + [sys.prefix]
    found = [Path(__file__).resolve().parents[1] / "config" / kind]
    found += [Path(prefix) / "share" / "vla_monitor" / "config" / kind for prefix in prefixes]
    return [folder for folder in found if folder.is_dir()]


def find(kind: str, name: str, what: str, parameter: str) -> Path:
    """Path of a configuration: the file itself where a path is given, else a name of ``config/<kind>``.

    :param what: it is called, in messages.
    :param parameter: that it was given by.
    :raises InputError: when there is none.
    """
    given = name.endswith((".yaml", ".yml"))
    file = name if given else f"{name}.yaml"
    places = [Path()] if given else folders(kind)
    for place in places:
        if (place / file).is_file():
            return place / file
    known = sorted({path.stem for place in folders(kind) for path in place.glob("*.yaml")})
    expected = f"{', '.join(known)}, or a path that ends in .yaml"
    raise InputError(f"no such {what}", where=file, expected=expected, remedy=f"set {parameter}")


def located(kind: str, file: str) -> Path:
    """Path of a file that ships in ``config/<kind>``.

    :raises InputError: when it is missing from the installation.
    """
    for place in folders(kind):
        if (place / file).is_file():
            return place / file
    raise InputError("missing from the installation", where=f"config/{kind}/{file}", remedy="install again")


def dds_environment() -> dict[str, str]:
    """The profile of ``config/dds``, which says what a killed process leaves behind; empty where one is set already.

    :raises InputError: when the profile is missing from the installation.
    """
    if any(name in os.environ for name in DDS):
        return {}
    return dict.fromkeys(DDS, str(located("dds", "fastdds.xml")))
