"""A terminal as a keyboard: it has no key-up, so a key counts as held for a while after its last repetition.

An arm that is let go of moves on for that while: good enough for the simulated arm, for no other.
"""

from __future__ import annotations

import os
import re
import termios
import tty

from teleop_node.keyboard.keys import NAMES
from vla_uq.errors import InputError

HOLD = 0.7
"""Seconds: longer than the pause before a terminal repeats a held key."""
DEADMAN = "space"
"""Held while any key is: a terminal repeats the newest key only."""


_ESCAPES = re.compile(r"\x1b[\[O]?[0-9;]*[A-Za-z~]?")
"""What arrows and function keys send: their letters are no keys."""


class TerminalKeys:
    """Keys of a terminal in character mode.

    :param descriptor: of the terminal.
    :raises InputError: it is none.
    """

    def __init__(self, descriptor: int = 0) -> None:
        if not os.isatty(descriptor):
            raise InputError("not a terminal", where="standard input", remedy="run it in a terminal of its own")
        self._descriptor, self._before = descriptor, termios.tcgetattr(descriptor)
        tty.setcbreak(descriptor)
        os.set_blocking(descriptor, False)
        self._key, self._pressed_at = "", -HOLD

    def held(self, now: float) -> frozenset[str]:
        """The newest key, while it is repeated, and the deadman with it.

        :raises OSError: the terminal is gone.
        """
        try:
            text = os.read(self._descriptor, 1024).decode("ascii", "replace")
        except BlockingIOError:
            text = ""
        known = [{" ": DEADMAN}.get(letter, letter) for letter in _ESCAPES.sub("", text).lower()]
        known = [name for name in known if name in NAMES]
        if known:
            self._key, self._pressed_at = known[-1], now
        return frozenset({self._key, DEADMAN}) if now - self._pressed_at < HOLD else frozenset()

    def close(self) -> None:
        os.set_blocking(self._descriptor, True)
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
