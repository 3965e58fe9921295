"""Reads a bag into a list of messages in order of time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_uq.errors import InputError

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.typesys.store import Typestore


@dataclass(frozen=True)
class Recorded:
    """One message of a bag.

    :param time_ns: when it was sent (see :class:`vla_cli.bag.node.Recorder`).
    :param topic: as recorded, absolute.
    :param message: the message, arrays as numpy.
    """

    time_ns: int
    topic: str
    message: Any


def read(folder: Path, suffixes: Collection[str] = ()) -> list[Recorded]:
    """All messages of a bag, in order of time; equal times in the order of the file.

    :param suffixes: only topics that end so (``supervisor_node/state``): all when empty.
    :raises InputError: when it is no bag, is damaged, or holds a message that its definition does not fit.
    """
    return sorted(scan(folder, suffixes), key=lambda recorded: recorded.time_ns)


def scan(
    folder: Path, suffixes: Collection[str] = (), start: int | None = None, stop: int | None = None
) -> Iterator[Recorded]:
    """The messages of a bag one at a time, nearly in order of time.

    :param suffixes: as in :func:`read`.
    :param start: first and
    :param stop: last time (ns) that is read; all when None.
    :raises InputError: as :func:`read`.
    """
    from rosbags.rosbag2 import Reader
    from rosbags.rosbag2.errors import ReaderError

    if not (folder / "metadata.yaml").is_file():
        raise InputError(
            "no bag", where=str(folder), expected="a folder with metadata.yaml", remedy="was the recorder killed?"
        )
    try:
        with Reader(folder) as reader:
            chosen = [c for c in reader.connections if not suffixes or ends_with(c.topic, suffixes)]
            types = bag_types(chosen)
            if chosen:
                end = None if stop is None else stop + 1
                for connection, time_ns, data in reader.messages(chosen, start, end):
                    yield Recorded(time_ns, connection.topic, types.deserialize_cdr(data, connection.msgtype))
    except InputError:
        raise
    except (ReaderError, OSError, KeyError, ValueError, AssertionError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError("bag cannot be read", where=str(folder), found=reason) from error


def topics(folder: Path) -> list[str]:
    """Names of the recorded topics, in order.

    :raises InputError: when it is no bag or is damaged.
    """
    from rosbags.rosbag2 import Reader
    from rosbags.rosbag2.errors import ReaderError

    try:
        with Reader(folder) as reader:
            return sorted({connection.topic for connection in reader.connections})
    except (ReaderError, OSError) as error:
        raise InputError("bag cannot be read", where=str(folder), found=error) from error


def ends_with(topic: str, suffixes: Collection[str]) -> bool:
    """Whether a topic is one of these names in any namespace."""
    return any(topic == f"/{suffix}" or topic.endswith(f"/{suffix}") for suffix in suffixes)


def bag_types(connections: Collection[Connection]) -> Typestore:
    """The types as the bag itself defines them: a bag stays readable when messages change.

    :raises InputError: when the bag holds no definitions (old sqlite bags).
    """
    definitions = {}
    for connection in connections:
        if not connection.msgdef.data:
            raise InputError(
                "bag without message definitions",
                where=connection.topic,
                expected="an MCAP bag, or one of rosbag2 from Iron on",
            )
        definitions[connection.msgtype] = connection.msgdef.data
    return _types(tuple(definitions.items()))


@lru_cache(maxsize=8)
def _types(definitions: tuple[tuple[str, str], ...]) -> Typestore:
    """Understanding definitions takes longer than reading an episode with them."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.EMPTY)
    for name, text in definitions:
        store.register(get_types_from_msg(text, name))
    return store
