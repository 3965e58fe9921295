"""What a format of records is, and how an importer reads the files of an episode: once, and into a digest."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout
from vla_uq.rollouts.unpickler import loads

LARGEST = 4 * 2**30
"""Bytes of a file that is still read; FIPER's with pictures in them take some hundred MB."""


@dataclass(frozen=True)
class Episode:
    """One episode as it lies on disk, not yet read.

    :param id: in the store: made of its own name and that of the two folders above, so that it stays the same
        wherever the data lie and at whichever of these folders an import starts.
    :param source: the same for people.
    :param size: bytes of all its files.
    """

    id: str
    source: str
    size: int
    read: Callable[[], Rollout]


@dataclass(frozen=True)
class Format:
    """How somebody records rollouts.

    :param name: as ``--format`` takes it.
    :param layout: what lies where, for people.
    :param find: the episodes below a folder in the order of their names, opening as little as possible; none where
        the folder holds another format.
    """

    name: str
    layout: str
    find: Callable[[Path], Iterator[Episode]]


class Files:
    """The files of one episode: each read once, whole, into their common digest.

    :param paths: all of them, in the order in which they count.
    :param names: of the folders and the file that make up the episode's name.
    """

    def __init__(self, format_name: str, names: Sequence[str], paths: Sequence[Path]) -> None:
        self.source = "/".join(names)
        self.paths = tuple(paths)
        self._format, self._names = format_name, names
        self._digest = hashlib.sha256()

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.paths)

    def episode(self, read: Callable[[Files], Rollout]) -> Episode:
        """What stands for the episode until its turn comes, when a function reads it."""
        return Episode(
            episode_id(self._format, self.source),
            self.source,
            self.size,
            lambda: read(Files(self._format, self._names, self.paths)),
        )

    def pickle(self, path: Path) -> Any:
        """The content of a pickle.

        :raises InputError: as :func:`vla_uq.rollouts.unpickler.loads`.
        """
        return loads(self._bytes(path), path.name)

    def json(self, path: Path) -> Any:
        """The content of a JSON file.

        :raises InputError: when it is none.
        """
        try:
            return json.loads(self._bytes(path))
        except ValueError as error:
            raise InputError("is not JSON", where=path.name, found=error) from error

    def table(self, path: Path) -> dict[str, NDArray[np.float64]]:
        """The numeric columns of a CSV file, (rows,).

        :raises InputError: when rows have another length than the head, or are missing.
        """
        rows = list(csv.reader(io.StringIO(self._bytes(path).decode(errors="replace"))))
        if len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows):
            raise InputError("is no table", where=path.name, expected="a head and rows of the same length")
        return {name: _numbers(column) for name, *column in zip(*rows, strict=True)}

    def extra(self, **values: Any) -> dict[str, Any]:
        """Where a rollout comes from, beside what its format says of it; to be called when all files were read."""
        origin = {"format": self._format, "source": self.source, "bytes": self.size}
        return {**values, **origin, "sha256": self._digest.hexdigest()}

    def _bytes(self, path: Path) -> bytes:
        try:
            if path.stat().st_size > LARGEST:
                raise InputError("is too large", where=path.name, expected=f"at most {LARGEST} bytes")
            data = path.read_bytes()
        except OSError as error:
            raise InputError("cannot be read", where=path.name, found=error.strerror) from error
        self._digest.update(data)
        return data


def episode_id(format_name: str, source: str) -> str:
    """A name for the store."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", f"{format_name}-{source.replace('/', '-')}")


def _numbers(column: Sequence[str]) -> NDArray[np.float64]:
    try:
        return np.array([float(cell) if cell else np.nan for cell in column])
    except ValueError:
        return np.full(len(column), np.nan)
