"""What is moved, how fast and how far: sweeps of single joints, and short lines on arms that are led by poses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from supervisor_node.arms.base import Arm
from supervisor_node.arms.profile import Profile
from supervisor_node.values import Measured
from vla_uq.errors import InputError

Vector = NDArray[np.float64]
LED_BY_POSES = frozenset({"crisp"})
"""Kinds of arms whose moving targets are poses; a stop does not know their joint reference."""
_CHECKED_EVERY = 0.02


@dataclass(frozen=True)
class Course:
    """How thorough and how fast; the defaults take some minutes.

    :param fractions: of the fastest motion that the profile's step limit allows, rising.
    :param back: the same for the way home.
    :param ways: directions of each joint.
    :param ramp: share of the profile's deceleration with which a sweep gains its speed.
    :param cruise: seconds at full speed before a stop.
    :param delay: seconds that a stop may take to begin, for the room that it needs.
    :param watch: seconds that the held arm is watched.
    :param settle: seconds that a stopped arm is watched.
    :param line: speed (m/s) of lines, ``length`` (m) of each.
    :param edge: distance (m) from the workspace's walls, ``margin`` (rad) from joint limits.
    :param grip: seconds for the gripper to open, to close, and to be held.
    """

    fractions: tuple[float, ...] = (0.1, 0.2, 0.4)
    back: float = 0.2
    ways: tuple[float, ...] = (1.0, -1.0)
    ramp: float = 0.5
    cruise: float = 0.15
    delay: float = 0.1
    watch: float = 5.0
    settle: float = 0.8
    line: float = 0.1
    length: float = 0.05
    edge: float = 0.01
    margin: float = 0.05
    grip: float = 3.0


@dataclass(frozen=True)
class Sweep:
    """A motion in one direction that ends in a stop, or in silence.

    :param axis: joint, or axis of the base frame for a line.
    :param way: 1 or -1.
    :param speed: rad/s, or m/s for a line; reached with ``gain`` (the same per second).
    :param travel: rad or m from home to where it is stopped.
    :param fastest: of its axis: what a profile's deceleration and lead are taken from.
    :param silent: the commands cease, and nobody stops the arm.
    """

    axis: int
    way: float
    speed: float
    gain: float
    travel: float
    line: bool = False
    fastest: bool = False
    silent: bool = False

    def along(self, t: float) -> float:
        """Distance from home ``t`` seconds after the start: rising evenly to the speed, never beyond ``travel``."""
        ramped = self.speed / self.gain
        gone = 0.5 * self.gain * min(t, ramped) ** 2 + self.speed * max(t - ramped, 0.0)
        return min(gone, self.travel)


def top_speed(profile: Profile) -> Vector:
    """Joints' speeds (n,) rad/s that the step limit allows."""
    return profile.step.joints * profile.rate


def plan(arm: Arm, start: Measured, course: Course) -> list[Sweep]:
    """Every sweep from here, slow ones of an axis first: they go as far as any, so that they find what is in the way.

    :raises InputError: the arm stands too near its limits, or a joint has no room either way.
    """
    profile = arm.profile
    _stands_well(profile, start, course)
    found: list[Sweep] = []
    for axis, name in enumerate(profile.joints.names):
        ways = [way for way in course.ways if _fits(arm, start, axis, way * _room(profile, axis, course), course)]
        if not ways:
            room = _room(profile, axis, course)
            raise InputError(
                "a joint has no room to be tested", where=name, expected=f"{room:.2f} rad inside its limits and the "
                "workspace, one way or the other", remedy="bring the arm to the middle of its workspace",
            )  # fmt: skip
        for way in ways:
            found += _sweeps(profile, axis, way, course)
    return found + list(_silences(arm, found, start, course))


def _stands_well(profile: Profile, start: Measured, course: Course) -> None:
    joints, box = profile.joints, profile.workspace
    for i, name in enumerate(joints.names):
        if not joints.lower[i] + course.margin <= start.q[i] <= joints.upper[i] - course.margin:
            expected = f"{course.margin:g} rad inside of {joints.lower[i]:g} to {joints.upper[i]:g}"
            raise InputError("the arm is near a limit", where=name, expected=expected, found=f"{start.q[i]:.3f} rad")
    if not inside(profile, start.pose.position, course.edge):
        expected = f"{course.edge:g} m inside of {box.lower.tolist()} to {box.upper.tolist()}"
        raise InputError("the grip is not inside the workspace", where="workspace", expected=expected,
                         found=np.round(start.pose.position, 3).tolist())  # fmt: skip


def inside(profile: Profile, position: Vector, edge: float) -> bool:
    """Whether the grip (3,) m is in the workspace, ``edge`` from its walls."""
    box = profile.workspace
    return bool((position >= box.lower + edge).all() and (position <= box.upper - edge).all())


def _stopping(profile: Profile, axis: int, speed: float, course: Course) -> float:
    return float(speed**2 / (2 * profile.braking.deceleration[axis]) + speed * course.delay)


def _room(profile: Profile, axis: int, course: Course) -> float:
    """What the fastest sweep of a joint needs with its stop (rad): the way of all of them."""
    speed = float(max(course.fractions) * top_speed(profile)[axis])
    gain = course.ramp * float(profile.braking.deceleration[axis])
    return speed**2 / (2 * gain) + speed * course.cruise + _stopping(profile, axis, speed, course)


def _fits(arm: Arm, start: Measured, axis: int, way: float, course: Course) -> bool:
    """Whether a way (rad) stays inside the joint's limits, and in the workspace where the geometry is known."""
    joints = arm.profile.joints
    end = start.q[axis] + way
    if not joints.lower[axis] + course.margin <= end <= joints.upper[axis] - course.margin:
        return False
    for share in np.linspace(0.0, 1.0, max(2, math.ceil(abs(way) / _CHECKED_EVERY))):
        q = start.q.copy()
        q[axis] += share * way
        pose = arm.pose(q)
        if pose is not None and not inside(arm.profile, pose.position, course.edge):
            return False
    return True


def _sweeps(profile: Profile, axis: int, way: float, course: Course) -> Iterator[Sweep]:
    """One joint, one way, at all speeds: each ends where its own stop ends at the end of the way."""
    room = _room(profile, axis, course)
    gain = course.ramp * float(profile.braking.deceleration[axis])
    for fraction in sorted(course.fractions):
        speed = float(fraction * top_speed(profile)[axis])
        travel = room - _stopping(profile, axis, speed, course)
        yield Sweep(axis, way, speed, gain, travel, fastest=fraction == max(course.fractions))


def _silences(arm: Arm, sweeps: list[Sweep], start: Measured, course: Course) -> Iterator[Sweep]:
    """Motions whose commands cease: as the policy would move the arm, lines or the two joints next to the base."""
    if arm.profile.kind not in LED_BY_POSES:
        for sweep in sweeps:
            if sweep.fastest and sweep.axis < 2:
                yield Sweep(sweep.axis, sweep.way, sweep.speed, sweep.gain, sweep.travel, silent=True)
        return
    gain = course.line / 0.1
    for axis in range(3):
        for way in course.ways:
            end = start.pose.position.copy()
            end[axis] += way * 2 * course.length
            if inside(arm.profile, end, course.edge):
                for silent in (False, True):
                    yield Sweep(axis, way, course.line, gain, course.length, line=True, silent=silent)
