"""An arm behind a ``joint_trajectory_controller``: Franka, or WidowX through ros_control.

One short point at a time, at rest at its end, on the controller's topic. Its action is used for one thing: to cancel
whatever goal somebody may have given it, for while one is pending the topic is passed over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from action_msgs.msg import GoalStatus, GoalStatusArray
from action_msgs.srv import CancelGoal
from numpy.typing import NDArray
from rcl_interfaces.srv import GetParameters
from trajectory_msgs.msg import JointTrajectory

from supervisor_node.arms.base import Arm
from supervisor_node.drivers.base import Driver, Qualities
from supervisor_node.drivers.fingers import open_fingers
from supervisor_node.drivers.services import interfaces
from supervisor_node.drivers.wire import trajectory
from supervisor_node.states import Source
from supervisor_node.values import Command

Vector = NDArray[np.float64]
INTERPOLATES = "interpolate_from_desired_state"
_ASKED_EVERY = 1.0
_SILENT = 1.0
_SHOWN_WITHIN = 0.5
_SAME = 0.01
_RUNNING = (GoalStatus.STATUS_ACCEPTED, GoalStatus.STATUS_EXECUTING, GoalStatus.STATUS_CANCELING)


class JtcDriver(Driver):
    """See :class:`supervisor_node.drivers.base.Driver`."""

    def __init__(self, node: Any, arm: Arm, qualities: Qualities, step: Callable[..., None]) -> None:
        super().__init__(node, arm, qualities, step)
        part = self.profile.jtc
        assert part is not None
        self._part = part
        self._points = self.publish_on(JointTrajectory, f"{part.controller}/joint_trajectory")
        action = f"{part.controller}/follow_joint_trajectory/_action"
        self._cancel = self.client(CancelGoal, f"{action}/cancel_goal")
        self._parameters = self.client(GetParameters, f"{part.controller}/get_parameters")
        state = interfaces("control_msgs.msg").JointTrajectoryControllerState
        self.subscribe(state, f"{part.controller}/controller_state", self._on_state, qualities.sensor)
        self.subscribe(GoalStatusArray, f"{action}/status", self._on_status, qualities.latched)
        self._fingers = open_fingers(self)
        self._names: tuple[str, ...] = ()
        self._reference: Vector | None = None
        self._seen_at = self._asked_at = -np.inf
        self._interpolates: bool | None = None
        self._goals = 0
        self._hold: tuple[float, Vector] | None = None

    # -- out -------------------------------------------------------------------------------------------------------
    def move(self, command: Command) -> None:
        """A point; the first one of a hold comes with the cancellation of all goals."""
        q = command.motion.joints
        assert q is not None, "this arm takes joint targets"
        if command.source is not Source.NONE:
            self._hold = None
        elif self._hold is None or not np.array_equal(self._hold[1], q):
            self._hold = (time.monotonic(), q)
            self.cancel()
        self._points.publish(trajectory(self.profile.joints.names, q, self._part.reach))
        if self._fingers is not None and command.gripper is not None:
            self._fingers.lead(command.gripper)

    def cancel(self) -> None:
        """Cancel all goals of the action: an id and a stamp of zero mean every one."""
        self.caller.ask(self._cancel, CancelGoal.Request(), lambda answer: None, self._on_uncancelled)

    def _on_uncancelled(self, problem: str) -> None:
        self.node.get_logger().warning(f"cancel: {problem}", throttle_duration_sec=5.0)

    # -- in --------------------------------------------------------------------------------------------------------
    def _on_state(self, message: Any) -> None:
        self._names, self._seen_at = tuple(message.joint_names), time.monotonic()
        # jazzy calls it reference, humble desired.
        point = message.reference if hasattr(message, "reference") else message.desired
        positions = np.asarray(point.positions, np.float64)
        wanted = self.profile.joints.names
        whole = len(positions) == len(self._names) and set(wanted) <= set(self._names)
        self._reference = positions[[self._names.index(name) for name in wanted]] if whole else None

    def _on_status(self, message: GoalStatusArray) -> None:
        before = self._goals
        self._goals = sum(each.status in _RUNNING for each in message.status_list)
        if self._goals != before:
            self.report_at_once()

    def report(self) -> dict[str, str]:
        """See :meth:`Driver.report`."""
        found = super().report()
        now = time.monotonic()
        if now - self._asked_at >= _ASKED_EVERY:
            self._asked_at = now
            self.caller.ask(self._parameters, GetParameters.Request(names=[INTERPOLATES]), self._on_parameters)
        found["adapter"] = found["adapter"] or self._unready(now)
        if self._goals:
            found["foreign_goal"] = f"{self._goals} running on {self._part.controller}/follow_joint_trajectory"
        return found

    def _unready(self, now: float) -> str:
        """Why the controller cannot be used as it is, or ""."""
        name, wanted = self._part.controller, self.profile.joints.names
        if now - self._seen_at > _SILENT:
            return f"nothing on {name}/controller_state for {_SILENT:g} s"
        if sorted(self._names) != sorted(wanted):
            return f"{name}: joints: expected {' '.join(wanted)}, found {' '.join(self._names)}"
        if self._interpolates is not True:
            found = "false" if self._interpolates is False else "no answer"
            return f"{name}: {INTERPOLATES}: expected true, found {found}"
        return self._unheld(now)

    def _unheld(self, now: float) -> str:
        """The hold that was sent and is not what the controller follows, or ""."""
        if self._hold is None or self._reference is None or now - self._hold[0] < _SHOWN_WITHIN:
            return ""
        away = np.abs(self._reference - self._hold[1])
        worst = int(away.argmax())
        text = f"{self._part.controller} does not follow the hold: {self.profile.joints.names[worst]}"
        return f"{text} is {away[worst]:.3g} rad off" if away[worst] > _SAME else ""

    def _on_parameters(self, answer: Any) -> None:
        self._interpolates = bool(answer.values[0].bool_value) if answer.values else None
