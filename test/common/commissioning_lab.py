"""An arm in a room that is commissioned on a fake clock, and evidence in round numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from supervised_plant import Plant

from supervisor_node.arms import ARMS, open_arm
from supervisor_node.arms.base import Arm
from supervisor_node.arms.profile import Profile
from supervisor_node.commissioning.course import Course, Sweep
from supervisor_node.commissioning.figures import Evidence, Stop
from supervisor_node.commissioning.procedure import Act, Procedure, Seen
from supervisor_node.rest import JointHistory
from supervisor_node.values import Measured

ARM = open_arm("franka_crisp_sim")
SHORT = Course(fractions=(0.2, 0.4), watch=0.5, settle=0.5, grip=0.5)


def bare(profile: Profile) -> Profile:
    """The same arm as a data sheet describes it."""
    return dataclasses.replace(profile, commissioned=None)


def arm_of(**changes: Any) -> Arm:
    return ARMS["crisp"](dataclasses.replace(bare(ARM.profile), **changes))


class Lab:
    """An arm in a room, led by a procedure: 10 ms a step, a command every 50 ms."""

    def __init__(self, arm: Arm, course: Course = SHORT, plant: Plant | None = None) -> None:
        self.arm, self.plant, self.ms = arm, plant or Plant(), 0
        self.history, self.acts, self.confirm = JointHistory(), list[Act](), True
        self.samples: list[tuple[float, np.ndarray]] = []
        self.spoil: Callable[[Act], None] = lambda act: None
        self.pass_time(0.3)
        self.procedure = Procedure(arm, course, self.seen())

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 100)):
            self.ms += 10
            self.plant.advance(0.01)
            self.samples.append((self.ms / 1000, self.plant.q.copy()))
            self.history.add(self.ms / 1000, self.plant.q.copy())

    def seen(self) -> Seen:
        q, taken, self.samples = self.plant.q.copy(), tuple(self.samples), []
        measured = Measured(q, self.history.velocity(q), self.plant.pose((0, 0)), self.plant.opening)
        return Seen(self.ms / 1000, measured, taken, self.confirm)

    def run(self, ticks: int = 100_000) -> Evidence:
        steps = self.procedure.run()
        self.acts.append(next(steps))
        for _ in range(ticks):
            if self.acts[-1].command is not None:
                self.plant.obey(self.acts[-1].command)
            self.spoil(self.acts[-1])
            self.pass_time(0.05)
            try:
                self.acts.append(steps.send(self.seen()))
            except StopIteration:
                break
        return self.procedure.evidence


def evidence_of(
    speed: float = 0.8, gone: float = 0.04, rest: float = 0.3, silence: float = 0.4, over: float = 0.01
) -> Evidence:
    """Every joint stopped twice, with round numbers."""
    found = Evidence([np.full(7, 1e-3), np.full(7, 2e-3)], [np.full(7, 0.01), np.full(7, 0.02)], [], [0.0])
    for axis in range(7):
        for way, more in ((1.0, 0.0), (-1.0, 0.01)):
            sweep = Sweep(axis, way, 0.8, 4.0, 0.3, fastest=True)
            found.stops.append(Stop(sweep, speed, gone + more, over, rest, 0.06 + more))
    line = Sweep(0, 1.0, 0.1, 1.0, 0.05, line=True, silent=True)
    found.stops.append(Stop(line, math.nan, math.nan, math.nan, silence, math.nan))
    return found
