"""The teleop device: its lease, its pose, its gripper.

Wireless receivers repeat the last state when the link dies, and terminals have no key-up: the lease is a message that
must keep coming, and the deadman must have been seen released once since the halt before it counts.
"""

from __future__ import annotations

import math

from supervisor_node.values import Inputs, Pose, Stamp


class Lease:
    """What came from the teleop device, by receipt.

    :param timeout: seconds of silence that end the lease, or make a pose old.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._held_at = self._pose_at = -math.inf
        self._held = False
        self._released = False
        self.pose: Pose | None = None
        self.gripper: float | None = None
        self._news = False

    def take(self, now: float, inputs: Inputs) -> None:
        """Take what is new."""
        if inputs.lease is not None:
            self._held, self._held_at = inputs.lease, now
            self._released = self._released or not inputs.lease
        if inputs.teleop_pose is not None and inputs.teleop_pose.finite:
            self.pose, self._pose_at, self._news = inputs.teleop_pose, now, True
        if inputs.teleop_gripper is not None and math.isfinite(inputs.teleop_gripper):
            self.gripper = min(max(inputs.teleop_gripper, 0.0), 1.0)

    def restart(self) -> None:
        """A halt began: the deadman must be seen released again, and old targets are void."""
        self._released, self.pose, self.gripper, self._news = False, None, None, False

    def outdate(self) -> None:
        """A new observation came: poses of before are no answer to it."""
        self._news = False

    def answers(self, stamp: Stamp) -> bool:
        """In lockstep: the newest pose echoes this observation's stamp, or came after the observation."""
        return self.pose is not None and (self.pose.stamp == stamp or self._news)

    @property
    def let_go(self) -> bool:
        """The newest lease message says: not held."""
        return not self._held

    def lost(self, now: float) -> str:
        """Why the device counts as silent, or ""."""
        if now - self._held_at > self._timeout:
            return f"no lease for {self._timeout:g} s"
        if now - self._pose_at > self._timeout:
            return f"no teleop pose for {self._timeout:g} s"
        return ""

    def refuses(self, now: float) -> str:
        """Why the device may not take over now, or ""."""
        silent = self.lost(now)
        if silent:
            return silent
        if not self._held:
            return "the deadman is not held"
        if not self._released:
            return "the deadman was not released since the halt: let go once, then hold it"
        return "" if self.pose is not None else "no teleop pose since the halt"
