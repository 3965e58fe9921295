"""A hand on a device: from its messages and its map to lease, target, gripper and wishes. Pure; time is handed in.

The deadman counts once it was seen released; silence, frozen messages and values that make no sense let go at once and
ask for that again. A device that would make the arm jump is refused with the largest error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from teleop_node.buttons import Button
from teleop_node.device import Device, Term
from teleop_node.motion import Lead, motion_of
from teleop_node.values import Arm, Handling, Reading, Wish

LONGEST_STEP = 0.1
"""Seconds that one step of a rate may count: after a pause nothing is made up for."""
SETTLE = 0.2
"""Seconds with the lease on the supervisor's side before a takeover is asked for."""


class UnusableError(Exception):
    """A channel has no usable value."""


class Hand:
    """One person, one device.

    :param device: its map.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._motion = motion_of(device.motion)
        self._inputs: dict[str, Reading] = {}
        self._heard: dict[str, float] = {}
        self._changed: dict[str, float] = {}
        self._deadman, self._clutch = Button(), Button()
        self._grips = {name: Button() for name in ("close", "open", "toggle")}
        self._wishes = {wish: Button() for wish in device.buttons}
        self._stepped = -math.inf
        self._engaged_at: float | None = None
        self._clutched = False
        self._opening: float | None = None
        self._take_due = False

    def describe(self, urdf: str) -> None:
        """Hand over the follower's ``robot_description``; only leaders need one.

        :raises InputError: see :class:`teleop_node.chain.Chain`.
        """
        if isinstance(self._motion, Lead):
            self._motion.describe(urdf)

    def take(self, now: float, name: str, reading: Reading) -> None:
        """A message of an input came."""
        before = self._inputs.get(name)
        if before is None or before.channels != reading.channels:
            self._changed[name] = now
        self._inputs[name], self._heard[name] = reading, now

    def step(self, now: float, arm: Arm | None) -> Handling:
        """Say what to do now.

        :param arm: None when it is not seen.
        """
        seconds, self._stepped = min(now - self._stepped, LONGEST_STEP), now
        problem = self._silent(now)
        wishes: tuple[Wish, ...] = ()
        if not problem:
            try:
                wishes = self._press(now)
                return self._handle(now, seconds, arm, wishes)
            except UnusableError as error:
                problem = str(error)
        self._lose()
        return Handling(wishes=wishes, note=problem)

    # -- parts -----------------------------------------------------------------------------------------------------
    def _handle(self, now: float, seconds: float, arm: Arm | None, wishes: tuple[Wish, ...]) -> Handling:
        if not self._deadman.held:
            self._release()
            return Handling(wishes=wishes, note="the deadman is not held")
        if arm is None:
            self._release()
            return Handling(wishes=wishes, note="the supervisor does not show the arm")
        if self._engaged_at is None:
            problem = self._motion.engage(self._value, self._inputs, arm)
            if problem:
                return Handling(wishes=wishes, note=problem)
            self._engaged_at = now
        elif self._frozen(now):
            raise UnusableError(
                f"the same messages for {self._device.frozen:g} s while the arm moves: is the link dead?"
            )
        clutched = self._device.clutch is None or self._clutch.held
        if clutched and not self._clutched:
            self._motion.close_clutch(self._inputs)
        self._clutched = clutched
        target = self._motion.target(seconds, self._value, self._inputs, arm, clutched)
        return Handling(True, target, self._grip(arm), wishes + self._take(now))

    def _silent(self, now: float) -> str:
        for name, given in self._device.inputs.items():
            if name not in self._heard:
                return f"no message on {given.topic} yet"
            if not given.silent and now - self._heard[name] > self._device.timeout:
                return f"no message on {given.topic} for {self._device.timeout:g} s"
        return ""

    def _frozen(self, now: float) -> bool:
        limit = self._device.frozen
        still = now - max(self._changed.values()) > limit
        return limit > 0 and still and self._motion.moving(self._value)

    def _press(self, now: float) -> tuple[Wish, ...]:
        """Look at all buttons; what the pressed ones ask for."""
        device = self._device
        self._deadman.update(self._value(device.deadman))
        if device.clutch is not None:
            self._clutch.update(self._value(device.clutch))
        pressed = [wish for wish, term in device.buttons.items() if self._wishes[wish].update(self._value(term))]
        if Wish.TAKE in pressed and self._deadman.held:
            self._take_due = True
            pressed.remove(Wish.TAKE)
        return tuple(pressed)

    def _take(self, now: float) -> tuple[Wish, ...]:
        """A takeover that waited until the supervisor has the lease and the target."""
        if not self._take_due or self._engaged_at is None or now - self._engaged_at < SETTLE:
            return ()
        self._take_due = False
        return (Wish.TAKE,)

    def _grip(self, arm: Arm) -> float | None:
        """The opening wanted. Buttons go on from what was commanded last, so that the takeover moves nothing."""
        grip = self._device.gripper
        if grip.opening is not None:
            return min(max(self._value(grip.opening), 0.0), 1.0)
        edges = {
            name: self._grips[name].update(self._value(term))
            for name, term in (("close", grip.close), ("open", grip.open), ("toggle", grip.toggle))
            if term is not None
        }
        if not arm.driving or self._opening is None:
            self._opening = arm.gripper if math.isfinite(arm.gripper) else None
        if arm.driving and any(edges.values()):
            toggled = 0.0 if (self._opening or 0.0) > 0.5 else 1.0
            self._opening = 0.0 if edges.get("close") else 1.0 if edges.get("open") else toggled
        return self._opening

    def _value(self, term: Term) -> float:
        """Value of a term.

        :raises UnusableError: the device has no such channel, or its value is not finite.
        """
        channels: Mapping[str, float] = self._inputs[term.input].channels
        if term.channel not in channels:
            raise UnusableError(f"{term}: the device has {', '.join(channels) or 'no channel'}")
        value = term.scale * channels[term.channel] + term.offset
        if not math.isfinite(value):
            raise UnusableError(f"{term} is not finite")
        return value

    def _release(self) -> None:
        self._engaged_at, self._clutched, self._take_due, self._opening = None, False, False, None

    def _lose(self) -> None:
        """Nothing that the device said counts any more."""
        self._release()
        for button in (self._deadman, self._clutch, *self._grips.values(), *self._wishes.values()):
            button.forget()
