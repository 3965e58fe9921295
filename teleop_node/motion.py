"""From what a device says to where the arm is wanted: rates, tracked poses, leader arms.

A motion is engaged when the deadman is held, and driven once the supervisor follows. Until then relative motions stay
on the arm's own pose, so that the takeover moves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from teleop_node.chain import Chain
from teleop_node.device import DIRECTIONS, Leader, Term, Tracked, Velocity
from teleop_node.values import Arm, Pose, Reading, Vector
from vla_uq.geometry import rotation_matrix, rotation_vector, shortened

_OFF_CHAIN = (0.01, 0.05)
"""Largest difference (m, rad) of the measured pose from the one that a leader's chain gives for the measured joints."""

Value = Callable[[Term], float]


class Motion(Protocol):
    """One way to move."""

    def engage(self, value: Value, inputs: Mapping[str, Reading], arm: Arm) -> str:
        """Begin; why not, or ""."""
        ...

    def close_clutch(self, inputs: Mapping[str, Reading]) -> None:
        """The clutch was closed: what the device does counts from here."""
        ...

    def target(self, seconds: float, value: Value, inputs: Mapping[str, Reading], arm: Arm, clutched: bool) -> Pose:
        """Where the arm is wanted, ``seconds`` after the last call."""
        ...

    def moving(self, value: Value) -> bool:
        """Whether the device asks for a motion that would go on by itself."""
        ...


class Rates:
    """Integrates velocities from the arm's pose; the target stays on a leash, so that a blocked arm gathers nothing."""

    def __init__(self, velocity: Velocity) -> None:
        self._velocity = velocity
        self._target: Pose | None = None

    def engage(self, value: Value, inputs: Mapping[str, Reading], arm: Arm) -> str:
        self._target = arm.pose
        return ""

    def close_clutch(self, inputs: Mapping[str, Reading]) -> None:
        """Rates have no origin."""

    def target(self, seconds: float, value: Value, inputs: Mapping[str, Reading], arm: Arm, clutched: bool) -> Pose:
        assert self._target is not None
        if not arm.driving:
            self._target = arm.pose
        elif clutched:
            step = seconds * self._rates(value)
            moved = Pose(self._target.position + step[:3], rotation_matrix(step[3:]) @ self._target.rotation)
            self._target = _leashed(moved, arm.pose, self._velocity.leash)
        return self._target

    def moving(self, value: Value) -> bool:
        return bool(np.any(self._rates(value)))

    def _rates(self, value: Value) -> Vector:
        dead, axes = self._velocity.deadzone, self._velocity.axes
        # The deadzone is of the raw channel: a stick's rest is the same whatever it moves.
        rates = [
            sum((v for t in axes.get(d, ()) if abs(v := value(t)) > dead * abs(t.scale)), start=0.0) for d in DIRECTIONS
        ]
        return np.array(rates)


class Follow:
    """Follows a tracked pose: as it stands, or by its displacement since the clutch was closed."""

    def __init__(self, tracked: Tracked) -> None:
        self._tracked = tracked
        self._origin: Pose | None = None
        self._base: Pose | None = None
        self._target: Pose | None = None

    def engage(self, value: Value, inputs: Mapping[str, Reading], arm: Arm) -> str:
        device = self._device(inputs)
        if device is None:
            return f"{self._tracked.input}: no finite pose"
        self._origin, self._base, self._target = device, arm.pose, arm.pose
        return _too_far(device, arm.pose, self._tracked.max_join) if self._tracked.absolute else ""

    def close_clutch(self, inputs: Mapping[str, Reading]) -> None:
        self._origin, self._base = self._device(inputs) or self._origin, self._target

    def target(self, seconds: float, value: Value, inputs: Mapping[str, Reading], arm: Arm, clutched: bool) -> Pose:
        assert self._target is not None and self._origin is not None and self._base is not None
        device = self._device(inputs)
        if device is None or not clutched:
            return self._target
        if self._tracked.absolute:
            self._target = device
        elif not arm.driving:
            self._origin, self._base, self._target = device, arm.pose, arm.pose
        else:
            moved = self._base.position + self._tracked.scale * (device.position - self._origin.position)
            self._target = Pose(moved, device.rotation @ self._origin.rotation.T @ self._base.rotation)
        return self._target

    def moving(self, value: Value) -> bool:
        return False

    def _device(self, inputs: Mapping[str, Reading]) -> Pose | None:
        pose = inputs[self._tracked.input].pose
        return pose if pose is not None and pose.finite else None


class Lead:
    """Follows a leader arm: its joints give the pose of the follower's tip."""

    def __init__(self, leader: Leader) -> None:
        self._leader = leader
        self._target: Pose | None = None
        self._chain: Chain | None = None

    def describe(self, urdf: str) -> None:
        """Take the follower's ``robot_description``.

        :raises InputError: see :class:`Chain`.
        """
        self._chain = Chain(urdf, self._leader.base, self._leader.tip)

    def engage(self, value: Value, inputs: Mapping[str, Reading], arm: Arm) -> str:
        if self._chain is None:
            return "no robot_description yet"
        missing = sorted({*self._leader.joints, *self._chain.names} - set(arm.joints))
        if missing:
            return f"the arm's joint states have no {', '.join(missing)}"
        expected = self._chain.pose(arm.joints)
        off = _too_far(expected, arm.pose, _OFF_CHAIN)
        if off:
            return f"from {self._leader.base} to {self._leader.tip} is not what the supervisor measures: {off}"
        errors = {name: value(term) - arm.joints[name] for name, term in self._leader.joints.items()}
        worst = max(errors, key=lambda name: abs(errors[name]))
        if not abs(errors[worst]) <= self._leader.max_join:
            found = f"{errors[worst]:+.3g} rad from the arm's, at most {self._leader.max_join:g}"
            return f"the leader's {worst} is {found}: bring the leader to the arm"
        self._target = arm.pose
        return ""

    def close_clutch(self, inputs: Mapping[str, Reading]) -> None:
        """A leader has no origin: it is absolute."""

    def target(self, seconds: float, value: Value, inputs: Mapping[str, Reading], arm: Arm, clutched: bool) -> Pose:
        assert self._target is not None and self._chain is not None
        if clutched:
            led = {name: value(term) for name, term in self._leader.joints.items()}
            self._target = self._chain.pose({**arm.joints, **led})
        return self._target

    def moving(self, value: Value) -> bool:
        return False


def motion_of(section: Velocity | Tracked | Leader) -> Motion:
    """The motion of a map's section."""
    if isinstance(section, Velocity):
        return Rates(section)
    return Follow(section) if isinstance(section, Tracked) else Lead(section)


def _too_far(pose: Pose, arm: Pose, limits: tuple[float, float]) -> str:
    """How much too far a pose is from the arm, or ""."""
    distance = float(np.linalg.norm(pose.position - arm.position))
    angle = float(np.linalg.norm(rotation_vector(pose.rotation @ arm.rotation.T)))
    if distance <= limits[0] and angle <= limits[1]:
        return ""
    return f"{distance:.3g} m and {angle:.3g} rad away, at most {limits[0]:g} m and {limits[1]:g} rad"


def _leashed(target: Pose, arm: Pose, leash: tuple[float, float]) -> Pose:
    offset, _ = shortened(target.position - arm.position, leash[0])
    turn, _ = shortened(rotation_vector(target.rotation @ arm.rotation.T), leash[1])
    return Pose(arm.position + offset, rotation_matrix(turn) @ arm.rotation)
