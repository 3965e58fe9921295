"""What the deadman does when it trips: hold the arm, once, and again only if that failed. Pure."""

from __future__ import annotations

from collections.abc import Callable

from supervisor_node.deadman.watch import Watch

AGAIN = 0.2
"""Seconds between two tries."""
Hold = Callable[[Callable[[str], None]], None]
"""Holds the arm without waiting, and tells what went wrong, or ""."""


class Backstop:
    """Acts on a watch.

    :param hold: None where the arm offers no hold that a second process may ask for: then it only reports.
    """

    def __init__(self, watch: Watch, hold: Hold | None) -> None:
        self.watch, self._hold = watch, hold
        self._waiting = self.held = False
        self._again_at = 0.0
        self.problem = ""

    def check(self, now: float) -> bool:
        """Look at the clock and act; whether the watch tripped just now."""
        tripped = self.watch.check(now)
        if tripped:
            self.held, self._waiting, self._again_at = False, False, now
        wanted = self.watch.tripped and not (self.held or self._waiting)
        if self._hold is not None and wanted and now >= self._again_at:
            self._waiting, self._again_at = True, now + AGAIN
            self._hold(self._done)
        return tripped

    def _done(self, problem: str) -> None:
        self._waiting, self.held, self.problem = False, not problem, problem

    @property
    def text(self) -> str:
        """What there is to say, for people."""
        if not self.watch.tripped:
            return "armed" if self.watch.armed else "watching"
        text = "the supervisor fell silent while the arm moved"
        if self._hold is None:
            return f"{text}; it keeps its last target"
        if self.held:
            return f"{text}; it is held"
        return f"{text}; the hold failed: {self.problem}" if self.problem else f"{text}; its hold was asked for"
