"""A hand on a bench: a fake clock, an arm that follows its target, a game pad that the test plays."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from teleop_node.device import Device, Grip, Input, Term, Tracked, Velocity
from teleop_node.hand import Hand
from teleop_node.values import Arm, Handling, Pose, Reading, Wish

STEP = 0.02
PAD = {
    "inputs": {"joy": Input("joy", "sensor_msgs/msg/Joy")},
    "timeout": 0.15,
    "frozen": 0.0,
    "deadman": Term("joy", "deadman"),
}
RATES = Velocity({"x": (Term("joy", "x", 0.1),), "rz": (Term("joy", "rz", 0.5),)}, 0.1, (0.06, 0.3))
BUTTONS = {wish: Term("joy", wish.value) for wish in Wish}
GRIP = Grip(close=Term("joy", "close"), open=Term("joy", "open"))


class Bench:
    """Time goes in steps of 20 ms; the pad repeats its state until it is switched off."""

    def __init__(self, motion: Any = RATES, **changes: Any) -> None:
        parts = {**PAD, "motion": motion, "gripper": GRIP, "buttons": BUTTONS, **changes}
        self.hand = Hand(Device("pad", **parts))
        self.now = 100.0
        self.axes = dict.fromkeys(["x", "rz", "deadman", "clutch", *(w.value for w in Wish), "close", "open"], 0.0)
        self.device = Pose(np.zeros(3), np.eye(3))
        self.arm: Arm | None = Arm(Pose(np.array([0.1, 0.2, 0.3]), np.eye(3)))
        self.talks = self.follows = True
        self.said: list[Handling] = []

    @property
    def last(self) -> Handling:
        return self.said[-1]

    @property
    def wishes(self) -> list[Wish]:
        return [wish for handling in self.said for wish in handling.wishes]

    def advance(self, seconds: float = STEP, **axes: float) -> Handling:
        self.axes |= axes
        for _ in range(max(1, round(seconds / STEP))):
            self.now += STEP
            if self.talks:
                self.hand.take(self.now, "joy", Reading(dict(self.axes), self.device))
            self.said.append(self.hand.step(self.now, self.arm))
            if self.arm is not None and self.arm.driving and self.follows and self.last.target is not None:
                self.arm = dataclasses.replace(self.arm, pose=self.last.target)
        return self.last

    def drive(self, driving: bool = True) -> None:
        assert self.arm is not None
        self.arm = dataclasses.replace(self.arm, driving=driving)

    def engage(self) -> Handling:
        """Let go, hold, and be followed."""
        self.advance(0.1, deadman=0.0)
        self.advance(0.1, deadman=1.0)
        self.drive()
        return self.advance()


def tracked(absolute: bool = False) -> Tracked:
    return Tracked("joy", absolute, 1.0, (0.1, 0.5) if absolute else (math.inf, math.inf))


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def new_bench() -> type[Bench]:
    return Bench


@pytest.fixture
def tracked_of() -> Any:
    return tracked
