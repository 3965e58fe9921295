"""Buttons that count only once they were seen released: what is stuck or pressed at the start does nothing."""

from __future__ import annotations

PRESSED = 0.5


class Button:
    """One button."""

    def __init__(self) -> None:
        self._armed = False
        self._pressed = False

    def update(self, value: float) -> bool:
        """Take its value; whether it was pressed just now."""
        pressed = value > PRESSED
        edge = pressed and not self._pressed and self._armed
        self._armed = self._armed or not pressed
        self._pressed = pressed
        return edge

    @property
    def held(self) -> bool:
        """Pressed, and seen released before."""
        return self._pressed and self._armed

    def forget(self) -> None:
        """Its value is not known any more: it must be seen released again."""
        self._armed = self._pressed = False
