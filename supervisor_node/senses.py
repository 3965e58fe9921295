"""What the supervisor has received, and when: by receipt on its own clock, never by stamps."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from supervisor_node.announcements import MonitorAnnouncement, PolicyAnnouncement
from supervisor_node.arms.profile import Profile
from supervisor_node.rest import JointHistory
from supervisor_node.values import Inputs, JointState, Measured, Pose, Stamp
from vla_uq.contracts import Chunk

Vector = NDArray[np.float64]
_STAMPS_KEPT = 512


class Clock:
    """Time that never runs backwards: a backward jump of the source is bridged, and told."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._last = -math.inf

    def read(self, now: float) -> tuple[float, bool]:
        """The time to use, and whether the source jumped back."""
        jumped = now + self._offset < self._last
        if jumped:
            self._offset = self._last - now
        self._last = now + self._offset
        return self._last, jumped


class Senses:
    """The newest of every input with its time of receipt."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.history = JointHistory()
        self.joints_at = self.pose_at = self.estop_at = self.foreign_at = -math.inf
        self.joints_problem = "nothing received"
        self.pose_problem = "nothing received"
        self.policies: dict[bytes, float] = {}
        self.monitors: dict[bytes, float] = {}
        self.policy: PolicyAnnouncement | None = None
        self.monitor: MonitorAnnouncement | None = None
        self.estop = self.halt = False
        self.hardware = self.qos = self.adapter = self.foreign_goal = ""
        self.publishers: Mapping[str, int] = {}
        self.subscribers: Mapping[str, int] = {}
        self.stamp: Stamp = (0, 0)
        self._q: Vector | None = None
        self._opening = math.nan
        self._pose: Pose | None = None
        self._receipts: dict[Stamp, float] = {}
        self._answered: Stamp | None = None

    def take(self, now: float, inputs: Inputs) -> None:
        """Take what is new."""
        if inputs.joints is not None:
            self._take_joints(now, inputs.joints)
        if inputs.pose is not None:
            self.pose_problem = "" if inputs.pose.finite else "not finite, or not a rotation"
            if inputs.pose.finite:
                self._pose, self.pose_at = inputs.pose, now
        if inputs.policy is not None:
            self.policy = inputs.policy
            self.policies[inputs.policy.run_id] = now
        if inputs.monitor is not None:
            self.monitor = inputs.monitor
            self.monitors[inputs.monitor.run_id] = now
        if inputs.estop is not None:
            self.estop, self.estop_at = inputs.estop, now
        self.halt = self.halt if inputs.halt is None else inputs.halt
        self.qos = self.qos if inputs.qos is None else inputs.qos
        self.adapter = self.adapter if inputs.adapter is None else inputs.adapter
        self.foreign_goal = self.foreign_goal if inputs.foreign_goal is None else inputs.foreign_goal
        if inputs.other_supervisor:
            self.foreign_at = now
        if inputs.hardware is not None:
            self.hardware = inputs.hardware
        self.publishers = self.publishers if inputs.publishers is None else inputs.publishers
        self.subscribers = self.subscribers if inputs.subscribers is None else inputs.subscribers

    def _take_joints(self, now: float, joints: JointState) -> None:
        wanted = (*self._profile.joints.names, *self._profile.gripper.joints)
        index = {name: i for i, name in enumerate(joints.names)}
        missing = [name for name in wanted if index.get(name, len(joints.positions)) >= len(joints.positions)]
        if missing:
            self.joints_problem = f"expected {', '.join(wanted)}, missing {', '.join(missing)}"
            return
        values = joints.positions[[index[name] for name in wanted]]
        if not np.isfinite(values).all():
            self.joints_problem = "not finite"
            return
        count = len(self._profile.joints.names)
        self.joints_problem, self.joints_at, self.stamp = "", now, joints.stamp
        self._q = values[:count]
        if len(wanted) > count:
            gripper = self._profile.gripper
            self._opening = float(np.clip((values[count:].sum() - gripper.closed) / gripper.width, 0.0, 1.0))
        self.history.add(now, self._q)
        self._receipts.setdefault(joints.stamp, now)
        while len(self._receipts) > _STAMPS_KEPT:
            del self._receipts[next(iter(self._receipts))]

    def jumped(self) -> None:
        """The clock jumped: spans and velocities across it mean nothing, old stamps may come again."""
        self.history.clear()
        self._receipts.clear()
        self._answered = None

    @property
    def measured(self) -> Measured | None:
        """What the arm is measured to do; None before joints and pose were seen."""
        if self._q is None or self._pose is None:
            return None
        return Measured(self._q, self.history.velocity(self._q), self._pose, self._opening, self.stamp)

    def observed(self, now: float, chunk: Chunk) -> float:
        """When the joint state that a chunk was made from was received; without that echo, by its own age."""
        echoed = None if chunk.observation_stamp == (0, 0) else self._receipts.get(chunk.observation_stamp)
        return now - max(chunk.observation_age, 0.0) if echoed is None else echoed

    # -- lockstep --------------------------------------------------------------------------------------------------
    @property
    def unanswered(self) -> bool:
        """Joints and pose of one moment are there, and no command has answered them yet (lockstep)."""
        whole = self._q is not None and self._pose is not None and self._pose.stamp == self.stamp
        return whole and self._answered != self.stamp

    def answered(self) -> None:
        """A command answered the newest observation."""
        self._answered = self.stamp

    # -- rest ------------------------------------------------------------------------------------------------------
    def still(self, now: float, since: float = -math.inf) -> bool:
        """Every joint's span over the rest window is below the arm's rest noise."""
        return not self.unrest(now, since)

    def unrest(self, now: float, since: float = -math.inf, hold: Vector | None = None) -> str:
        """Why the arm does not count as resting, on a hold if one is given, or ""."""
        rest = self._profile.rest
        span = self.history.span(now, rest.window, since)
        if span is None:
            return f"joint_states do not cover {rest.window:g} s"
        moved = self._worst(span, rest.noise, np.less)
        if moved:
            return f"{moved} in {rest.window:g} s"
        return self.off(hold) if hold is not None else ""

    def off(self, hold: Vector) -> str:
        """The joint that is farthest beyond the arm's tolerance of a hold, or ""."""
        if self._q is None:
            return "joint_states were never received"
        away = self._worst(np.abs(self._q - hold), self._profile.rest.tolerance, np.less_equal)
        return f"{away} off the hold" if away else ""

    def _worst(self, found: Vector, limits: Vector, within: np.ufunc) -> str:
        """The joint that is worst beyond its limit (rad), in words."""
        if bool(within(found, limits).all()):
            return ""
        worst = int((found / limits).argmax())
        return f"{self._profile.joints.names[worst]}: {found[worst]:.2g} rad, at most {limits[worst]:g},"
