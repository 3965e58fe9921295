"""Whether the supervisor has fallen silent while it moved the arm. Pure."""

from __future__ import annotations

from supervisor_node.states import MOVING, State

_QUIET = frozenset({State.UNKNOWN, State.IDLE, State.HALTED, State.FAULT, State.SHUTDOWN})
"""States after which silence is no danger: nothing was moving the arm, or the hold stood already."""
_CLEARED_BY = frozenset({State.UNKNOWN, State.IDLE})
"""States of a supervisor that was started again, or whose episode a person ended."""


class Watch:
    """Trips once the supervisor, last seen moving the arm, has said nothing for ``timeout`` seconds.

    Tripped stays tripped until a supervisor is seen in a state that a person led it to: the deadman never resumes.

    :param timeout: seconds of silence, on a steady clock.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._armed = False
        self._seen_at: float | None = None
        self.tripped = False

    def saw(self, now: float, state: State) -> None:
        """A state message came."""
        self._seen_at = now
        if state in MOVING:
            self._armed = True
        elif state in _QUIET:
            self._armed = False
        if state in _CLEARED_BY:
            self.tripped = False

    def check(self, now: float) -> bool:
        """Look at the clock; whether it tripped just now."""
        if self.tripped or not self._armed or self._seen_at is None or now - self._seen_at <= self._timeout:
            return False
        self.tripped = True
        return True

    @property
    def armed(self) -> bool:
        """The supervisor was last seen moving the arm, or bringing it to rest."""
        return self._armed

    def silence(self, now: float) -> float | None:
        """Seconds since the last message; None before the first."""
        return None if self._seen_at is None else now - self._seen_at
