"""joint_trajectory_controller without ROS: what it refuses, what it interpolates, what it does at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
EPSILON = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Point:
    """One point of a trajectory.

    :param time: from the trajectory's start, s.
    :param positions: rad, in the order of the trajectory's names.
    :param velocities: rad/s, may be empty.
    """

    time: float
    positions: tuple[float, ...]
    velocities: tuple[float, ...] = ()


@dataclass(frozen=True)
class Trajectory:
    """A trajectory as it came in.

    :param names: of the joints, in any order.
    :param starts_in: s from now; None where the stamp is zero: at once.
    """

    names: tuple[str, ...]
    points: tuple[Point, ...]
    starts_in: float | None = None


class Follower:
    """Holds its last setpoint until a trajectory comes, and after the last point of one. Nothing else ends a motion.

    :param names: the controller's joints.
    :param hold: (n,) rad, where the arm stands at activation.
    """

    def __init__(self, names: Sequence[str], hold: Vector) -> None:
        self.names = tuple(names)
        self.position, self.velocity = hold.copy(), np.zeros(len(names))
        """The reference: what was commanded last."""
        self.interpolate_from_desired = False
        self.nonzero_end_velocity = False
        self.cmd_timeout = 0.0
        """Seconds after the last point of a trajectory until the measured position is held; 0: never."""
        self.holding = True
        """Holds by its own decision; false from the first trajectory on."""
        self._knots: list[tuple[float, Vector, Vector | None]] = []

    def refuses(self, trajectory: Trajectory) -> str:
        """Why the controller ignores a trajectory, or "". Numbers that are not finite pass, as do limits."""
        names, points = trajectory.names, trajectory.points
        if len(names) != len(self.names) or not set(names) <= set(self.names):
            return "joint names do not match the controller's"
        if not points:
            return "empty trajectory"
        if not self.nonzero_end_velocity and any(abs(v) > EPSILON for v in points[-1].velocities):
            return "velocity of the last point is not zero"
        if trajectory.starts_in is not None and trajectory.starts_in + points[-1].time < 0:
            return "ends in the past"
        if any(later.time <= earlier.time for earlier, later in pairwise(points)):
            return "times do not increase"
        if any(len(p.positions) != len(names) or len(p.velocities) not in (0, len(names)) for p in points):
            return "wrong number of values"
        return ""

    def start(self, trajectory: Trajectory, now: float, measured: Vector) -> None:
        """Replace whatever runs.

        The motion begins at the measured position, or at the last setpoint where ``interpolate_from_desired`` is set.
        """
        order = [trajectory.names.index(name) for name in self.names]
        begin = now + (trajectory.starts_in or 0.0)
        first = (self.position, self.velocity) if self.interpolate_from_desired else (measured, np.zeros(len(order)))
        self._knots = [(now, first[0].copy(), first[1].copy())]
        for point in trajectory.points:
            velocities = np.asarray(point.velocities, float)[order] if point.velocities else None
            self._knots.append((begin + point.time, np.asarray(point.positions, float)[order], velocities))
        self.holding = False

    def hold(self, position: Vector) -> None:
        """Hold a position by the controller's own decision."""
        self.position, self.velocity, self._knots, self.holding = position.copy(), np.zeros_like(position), [], True

    def done(self, now: float) -> bool:
        """Whether the last point is behind."""
        return not self._knots or now >= self._knots[-1][0]

    def advance(self, now: float, measured: Vector) -> Vector:
        """The setpoint (n,) rad for now."""
        if not self._knots:
            return self.position
        if self.done(now):
            if self.cmd_timeout > 0 and not self.holding and now - self._knots[-1][0] > self.cmd_timeout:
                self.hold(measured)
            else:
                self.position, self.velocity = self._knots[-1][1].copy(), np.zeros(len(self.names))
            return self.position
        after = next(i for i, knot in enumerate(self._knots) if knot[0] > now)
        self.position, self.velocity = _between(self._knots[max(after - 1, 0)], self._knots[after], now)
        return self.position


def _between(
    left: tuple[float, Vector, Vector | None], right: tuple[float, Vector, Vector | None], now: float
) -> tuple[Vector, Vector]:
    """Cubic where both ends have a velocity, else linear."""
    (t0, p0, v0), (t1, p1, v1) = left, right
    span = t1 - t0
    u = min(max((now - t0) / span, 0.0), 1.0)
    if v0 is None or v1 is None:
        return p0 + u * (p1 - p0), (p1 - p0) / span
    m0, m1, step = v0 * span, v1 * span, p1 - p0
    a, b = m0 + m1 - 2 * step, 3 * step - 2 * m0 - m1
    return p0 + u * (m0 + u * (b + u * a)), (m0 + u * (2 * b + 3 * u * a)) / span
