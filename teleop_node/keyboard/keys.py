"""Keys by name, as maps write them, and their codes in the kernel (linux/input-event-codes.h)."""

from __future__ import annotations

from typing import Protocol

_ROWS = ((2, "1234567890"), (16, "qwertyuiop"), (30, "asdfghjkl"), (44, "zxcvbnm"))
CODES: dict[int, str] = {first + i: name for first, row in _ROWS for i, name in enumerate(row)} | {57: "space"}
"""Code to name."""
NAMES: tuple[str, ...] = tuple(CODES.values())


class Keys(Protocol):
    """A keyboard."""

    def held(self, now: float) -> frozenset[str]:
        """Names of the keys that are held at a steady time (s).

        :raises OSError: the keyboard is gone.
        """
        ...

    def close(self) -> None:
        """Leave it as it was."""
        ...
