"""A keyboard as the kernel sees it: key-down and key-up events of /dev/input, whichever window has the focus."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from teleop_node.keyboard.keys import CODES
from vla_uq.errors import InputError

FOLDER = Path("/dev/input")
_EVENT = struct.Struct("llHHi")  # struct input_event: seconds, microseconds, type, code, value
_SYN, _KEY, _DROPPED = 0, 1, 3
_UP, _DOWN = 0, 1
_BITS = 96  # bytes of KEY_MAX (0x2ff) bits


class EvdevKeys:
    """Keys of an open event device, read without waiting.

    A key counts from its key-down on: one that was held before is not known to be held, its repetitions do not count.

    :param descriptor: file descriptor, owned from now on.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._held: set[str] = set()

    def held(self, now: float) -> frozenset[str]:
        """Take all waiting events.

        :raises OSError: the keyboard was unplugged.
        """
        for kind, code, value in self._events():
            if kind == _SYN and code == _DROPPED:
                # Events were lost, a key-up may be among them: all must be pressed again.
                self._held.clear()
            elif kind == _KEY and code in CODES and value == _DOWN:
                self._held.add(CODES[code])
            elif kind == _KEY and code in CODES and value == _UP:
                self._held.discard(CODES[code])
        return frozenset(self._held)

    def _events(self) -> Iterator[tuple[int, int, int]]:
        with contextlib.suppress(BlockingIOError):
            while True:
                data = os.read(self._descriptor, 64 * _EVENT.size)
                if not data:
                    raise OSError("the keyboard is gone")
                for _, _, kind, code, value in _EVENT.iter_unpack(data):
                    yield kind, code, value

    def close(self) -> None:
        os.close(self._descriptor)


def open_keyboard(path: str = "") -> EvdevKeys:
    """Open an event device, or the first that has letters and a space bar.

    :raises InputError: there is none, or this user may not read it.
    """
    candidates = (
        [Path(path)] if path else sorted(FOLDER.glob("event*"), key=lambda p: int(p.name.removeprefix("event")))
    )
    denied = False
    for candidate in candidates:
        try:
            descriptor = os.open(candidate, os.O_RDONLY | os.O_NONBLOCK)
        except PermissionError:
            denied = True
            continue
        except OSError as error:
            raise InputError("cannot be opened", where=str(candidate), found=error.strerror) from None
        if path or _types(descriptor):
            return EvdevKeys(descriptor)
        os.close(descriptor)
    raise InputError(
        "no keyboard can be read",
        where=path or str(FOLDER),
        expected="an event device with letters, readable by this user",
        found="devices that this user may not read" if denied else "none",
        remedy="add the user to the group input and log in again" if denied else "",
    )


def _types(descriptor: int) -> bool:
    """Whether a device has the keys that we know (EVIOCGBIT of EV_KEY)."""
    request = (2 << 30) | (_BITS << 16) | (ord("E") << 8) | (0x20 + _KEY)
    try:
        bits = fcntl.ioctl(descriptor, request, bytes(_BITS))
    except OSError:
        return False
    return all(bits[code // 8] >> (code % 8) & 1 for code in CODES)
