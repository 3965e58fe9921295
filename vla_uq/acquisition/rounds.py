"""The rounds of an acquisition on disk: one JSON file that each round is added to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vla_uq.acquisition.candidates import Candidate
from vla_uq.artefact import field
from vla_uq.errors import InputError

KIND = "acquisition"
SCHEMA = 1


def read_rounds(path: Path) -> list[dict[str, Any]]:
    """The documents of all rounds, oldest first: ``round`` and ``chosen``, and whatever else explains them.

    :raises InputError: naming file and field, when the file is missing, broken, of another kind or schema, or a round
        comes twice or out of turn.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("cannot be read", where=str(path), found=error.strerror) from error
    except ValueError as error:
        raise InputError("is not JSON", where=str(path), found=error) from error
    for name, expected in (("kind", KIND), ("schema", SCHEMA)):
        found = document.get(name) if isinstance(document, dict) else None
        if found != expected:
            raise InputError("is another kind of file", where=f"{path}: {name}", expected=expected, found=found)
    rounds = field(document, "rounds", list, str(path))
    acquired(rounds, str(path))
    indices = [one["round"] for one in rounds]
    if indices != sorted(set(indices)):
        raise InputError("do not ascend", where=f"{path}: rounds", found=indices)
    return rounds


def acquired(rounds: Iterable[Any], where: str = "rounds") -> list[Candidate]:
    """What the rounds chose, oldest first.

    :raises InputError: naming the round and the field that is missing or wrong.
    """
    found = []
    for number, one in enumerate(rounds):
        place = f"{where}: rounds[{number}]"
        if not isinstance(one, dict):
            raise InputError("is not a round", where=place, found=type(one).__name__)
        field(one, "round", int, place)
        for chosen in field(one, "chosen", list, place):
            if not isinstance(chosen, dict):
                raise InputError("is not a candidate", where=f"{place}: chosen", found=type(chosen).__name__)
            found.append(Candidate(*(field(chosen, name, str, f"{place}: chosen") for name in ("task", "episode_id"))))
    return found


def write_rounds(path: Path, rounds: Sequence[Mapping[str, Any]]) -> None:
    """Write atomically; missing folders are made.

    :raises InputError: when the file cannot be written.
    """
    text = json.dumps({"kind": KIND, "schema": SCHEMA, "rounds": list(rounds)}, indent=1, allow_nan=False) + "\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise InputError("cannot be written", where=str(path), found=error.strerror) from error
