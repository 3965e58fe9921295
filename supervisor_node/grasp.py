"""How a gripper is led to an opening: one goal at a time, or a motor that knows no end. Pure.

Openings run from 0, closed, to 1. What a source may ask for is settled before (:mod:`supervisor_node.gripper`).
"""

from __future__ import annotations

import math

from supervisor_node.arms.parts import GripperPwm

_MOVED = 0.01
"""Change of the opening that counts as motion."""


class OneGoal:
    """Goals for a gripper that runs each to its end: none is cancelled, least of all a grasp that is closing.

    :param hysteresis: change of the wish that is worth a new goal.
    """

    def __init__(self, hysteresis: float) -> None:
        self._hysteresis = hysteresis
        self._wish: float | None = None
        self._sent: float | None = None
        self._busy = False

    def want(self, opening: float) -> float | None:
        """Take a wish; the goal to send now, or None: the same as before, or another one is running."""
        self._wish = opening
        return self._next()

    def done(self) -> float | None:
        """The goal has ended; the next one, if the wish has changed meanwhile."""
        self._busy = False
        return self._next()

    def failed(self) -> None:
        """The goal was not taken: it is sent again with the next wish."""
        self._busy, self._sent = False, None

    def _next(self) -> float | None:
        if self._busy or self._wish is None:
            return None
        if self._sent is not None and abs(self._wish - self._sent) < self._hysteresis:
            return None
        self._busy, self._sent = True, self._wish
        return self._wish


def eased(pwm: float, part: GripperPwm) -> float:
    """The PWM that may last, in place of one that must not: a grip is kept, an opening ends."""
    return part.hold if pwm < 0 else 0.0


class Squeeze:
    """PWM for a gripper without limits of its own: it is stopped before the ends, and a grip is held with less.

    A motor that presses with all it has trips its overload protection, which cuts the torque and drops what is held.
    """

    def __init__(self, part: GripperPwm) -> None:
        self._part = part
        self._pwm = 0.0
        self._anchor = math.nan
        self._moved_at = -math.inf

    def hold(self) -> float:
        """Nobody asks for anything: opening ends, a grip stays."""
        self._pwm = eased(self._pwm, self._part)
        return self._pwm

    def lead(self, now: float, wanted: float, measured: float) -> float:
        """One step towards an opening.

        :param now: s.
        :param measured: opening, NaN while unknown: nothing moves blindly.
        """
        if not math.isfinite(measured):
            return self.hold()
        part = self._part
        wish = min(wanted, 1 - part.band)
        way = -1 if wish < measured - part.band else 1 if wish > measured + part.band else 0
        if way * self._pwm <= 0 or not abs(measured - self._anchor) <= _MOVED:
            self._anchor, self._moved_at = measured, now
        stalled = now - self._moved_at > part.stall
        if way < 0:
            self._pwm = part.hold if stalled else part.close
        elif way > 0:
            self._pwm = 0.0 if stalled else part.open
        else:
            self._pwm = part.hold if wanted <= part.band else 0.0
        return self._pwm
