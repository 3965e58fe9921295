"""The gripper through halts and changes of hand: it never opens by itself."""

from __future__ import annotations

import math

_NEAR = 0.05


class GripperPass:
    """Passes one source's openings; after a change of source only once they have met the gripper.

    A device whose trigger rests open must not drop what the policy holds: its commands pass after they crossed the
    measured opening, or repeat what was commanded last. An empty closed gripper has nothing to drop.
    """

    def __init__(self) -> None:
        self.last: float | None = None
        self._waiting = False
        self._side = 0.0

    def clear(self) -> None:
        """A new episode: nothing was commanded, the first source passes."""
        self.last, self._waiting = None, False

    def change_source(self) -> None:
        """Another source takes over."""
        self._waiting, self._side = True, 0.0

    def command(self, wanted: float | None, measured: float) -> float | None:
        """What to send for what the source wants.

        :param wanted: opening 0…1, None for no wish.
        :param measured: measured opening, NaN when unknown.
        """
        if wanted is None:
            return self.hold(measured)
        if self._waiting and self._meets(wanted, measured):
            self._waiting = False
        if not self._waiting:
            self.last = wanted
        return self.hold(measured)

    def hold(self, measured: float) -> float | None:
        """What to send without a source: the last command; before any, closed if it is not wide open."""
        if self.last is None and math.isfinite(measured):
            return 0.0 if measured < 1 - _NEAR else 1.0
        return self.last

    def _meets(self, wanted: float, measured: float) -> bool:
        if not math.isfinite(measured) or measured < _NEAR or wanted == self.last:
            return True
        gap = wanted - measured
        crossed = self._side * gap < 0
        self._side = self._side or gap
        return crossed or abs(gap) <= _NEAR
