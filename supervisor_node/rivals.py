"""Another supervisor on the same topics: two of them would fight for the arm."""

from __future__ import annotations


class Rivals:
    """Who else publishes a supervisor's state.

    One message is no proof: the latched last one of a process that hangs is delivered to every newcomer. A rival is
    whoever counts on.

    :param run_id: our own.
    """

    def __init__(self, run_id: bytes) -> None:
        self._own = run_id
        self._rival = run_id
        self._sequence = -1

    def take(self, run_id: bytes, sequence: int) -> bool:
        """A state message came; whether a living rival sent it."""
        if run_id == self._own:
            return False
        alive = run_id == self._rival and sequence > self._sequence
        self._rival, self._sequence = run_id, sequence
        return alive

    def older_than(self, sequence: int) -> bool:
        """The rival has said more than we have, so it was there first; equal counts are settled by the ids."""
        return (self._sequence, self._rival) > (sequence, self._own)
