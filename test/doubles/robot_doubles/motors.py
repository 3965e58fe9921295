"""The servos of a WidowX as xs_sdk drives them: time profiles, modes, torque, and a gripper under PWM. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot_doubles.plant import Plant

Vector = NDArray[np.float64]
CLOSED, OPEN = 0.015, 0.037
"""Travel of a finger, m."""
POSITION_MODES = ("position", "ext_position", "current_based_position")


@dataclass
class Gripper:
    """The gripper's motor under PWM: it runs until the fingers meet something, and then goes on squeezing.

    :param finger: m, between CLOSED and OPEN.
    :param object_at: m, where closing fingers meet an object; 0: nowhere.
    :param overload_after: s of squeezing with more than 200 until the motor switches its torque off; it stays off.
    """

    finger: float = OPEN
    object_at: float = 0.0
    overload_after: float = 20.0
    pwm: float = 0.0
    torque: bool = True
    squeezed: float = 0.0

    def advance(self, dt: float) -> None:
        """Move for a while."""
        if not self.torque or abs(self.pwm) < 30:  # friction
            return
        lowest = max(CLOSED, self.object_at if self.object_at <= self.finger else CLOSED)
        self.finger = float(np.clip(self.finger + 0.08 * dt * self.pwm / 250, lowest, OPEN))
        stalled = self.finger in (lowest, OPEN) and abs(self.pwm) > 200
        self.squeezed = self.squeezed + dt if stalled else 0.0
        self.torque = self.squeezed <= self.overload_after


class Motors:
    """The arm's motors in front of a plant. A new goal starts at the present setpoint and speed."""

    def __init__(self, plant: Plant) -> None:
        self.plant, self.gripper = plant, Gripper()
        self.mode = "position"
        """Only in the position modes do goals move the arm."""
        self.profile = 2.0
        """Seconds that a move takes: Profile_Velocity."""
        self.acceleration = 0.3
        """Seconds: Profile_Acceleration. It changes nothing here."""
        self._at = plant.clock()
        self._speed = np.zeros(len(plant.names))
        self._start = (self._at, plant.setpoint.copy(), self._speed)
        self._goal: Vector | None = None

    def go(self, goal: Vector) -> None:
        """Take goal positions (n,) rad; there is no check. Not finite: the plant notes the disaster."""
        if not np.isfinite(goal).all():
            self.plant.follow(goal)
        elif self.mode in POSITION_MODES:
            if ((goal < self.plant.lower - 1e-6) | (goal > self.plant.upper + 1e-6)).any():
                self.plant.disaster("a command outside of the joint limits reached the joints")
            self._start = (self.plant.clock(), self.plant.setpoint.copy(), self._speed)
            self._goal = goal.copy()

    def switch_torque(self, on: bool, joints: list[int], gripper: bool) -> None:
        """Torque of some of the arm's motors and of the gripper's. Motors that get it back hold where they are."""
        if joints:
            self.plant.power(on, joints)
            self._stand()
        if gripper:
            self.gripper.torque, self.gripper.squeezed = on, 0.0

    def set_mode(self, mode: str, profile_ms: int, acceleration_ms: int, sag: float) -> None:
        """Change the mode: the torque is off for ``sag`` seconds meanwhile, and the arm sinks."""
        self.plant.disaster("operating mode changed")
        self.plant.drop(sag)
        self._stand()
        self.mode, self.profile, self.acceleration = mode, profile_ms / 1000, acceleration_ms / 1000

    def advance(self) -> None:
        """Move setpoint, joints and fingers up to the clock."""
        now = self.plant.clock()
        dt, self._at = now - self._at, now
        if self._goal is not None:
            began, start, speed = self._start
            setpoint, self._speed = _profile(now - began, self.profile, start, speed, self._goal)
            self.plant.setpoint = np.where(self.plant.torque, setpoint, self.plant.setpoint)
        self.plant.advance()
        self.gripper.advance(dt)

    def _stand(self) -> None:
        self._speed, self._goal = np.zeros(len(self.plant.names)), None


def _profile(t: float, length: float, start: Vector, speed: Vector, goal: Vector) -> tuple[Vector, Vector]:
    """From a position and speed to rest at the goal in ``length`` seconds: a cubic."""
    if t >= length:
        return goal, np.zeros_like(goal)
    u, m, step = t / length, speed * length, goal - start
    a, b = m - 2 * step, 3 * step - 2 * m
    return start + u * (m + u * (b + u * a)), (m + u * (2 * b + 3 * u * a)) / length
