"""Importers of others' rollouts: the formats as data, and which of them a folder holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from vla_uq.errors import InputError
from vla_uq.rollouts.importers import fiper, open_pi_zero, safe_openpi, safe_openvla
from vla_uq.rollouts.importers.base import Episode, Format

__all__ = ["FORMATS", "Episode", "Format", "format_of"]

FORMATS: Mapping[str, Format] = {
    module.NAME: module.FORMAT for module in (safe_openvla, safe_openpi, open_pi_zero, fiper)
}


def format_of(root: Path, formats: Iterable[Format] = tuple(FORMATS.values())) -> Format:
    """The one format that a folder holds, told by the names in it.

    :raises InputError: when it is none of these, or more than one.
    """
    known = list(formats)
    found = [one for one in known if next(one.find(root), None) is not None]
    if len(found) != 1:
        raise InputError(
            "holds several formats" if found else "holds no known format",
            where=str(root),
            expected="one of " + "; ".join(f"{f.name} ({f.layout})" for f in known),
            found=", ".join(f.name for f in found) or "none of them",
            remedy="name it with --format" if found else "",
        )
    return found[0]
