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
from supervisor_node.drivers.controllers import Controllers
from supervisor_node.drivers.fingers import ActionFingers, ControllerFingers
from supervisor_node.drivers.franka import FrankaState
from supervisor_node.drivers.services import interfaces
from supervisor_node.drivers.wire import trajectory
from supervisor_node.states import Source
from supervisor_node.switching import Done
from supervisor_node.values import Command

Vector = NDArray[np.float64]
INTERPOLATES = "interpolate_from_desired_state"
_ASKED_EVERY = 1.0
_SILENT = 1.0
_SHOWN_WITHIN = 0.5
_SAME = 0.01
_RUNNING = (GoalStatus.STATUS_ACCEPTED, GoalStatus.STATUS_EXECUTING, GoalStatus.STATUS_CANCELING)


class JtcDriver(Driver):
    """See :class:`supervisor_node.drivers.base.Driver`.

    :param step: takes inputs of the supervisor that cannot wait for the next report.
    """

    def __init__(self, node: Any, arm: Arm, qualities: Qualities, step: Callable[..., None]) -> None:
        super().__init__(node, arm, qualities)
        part = self.profile.jtc
        assert part is not None
        self._part, self._step = part, step
        self._points = self.publish_on(JointTrajectory, f"{part.controller}/joint_trajectory")
        action = f"{part.controller}/follow_joint_trajectory/_action"
        self._cancel = self.client(CancelGoal, f"{action}/cancel_goal")
        self._parameters = self.client(GetParameters, f"{part.controller}/get_parameters")
        state = interfaces("control_msgs.msg").JointTrajectoryControllerState
        self.subscribe(state, f"{part.controller}/controller_state", self._on_state, qualities.sensor)
        self.subscribe(GoalStatusArray, f"{action}/status", self._on_status, qualities.latched)
        self._controllers = Controllers(self, self.profile.manager) if self.profile.manager is not None else None
        franka = self.profile.franka
        self._robot = FrankaState(self, franka, lambda: step(**self.report())) if franka is not None else None
        self._fingers = self._open_fingers()
        self._names: tuple[str, ...] = ()
        self._reference: Vector | None = None
        self._seen_at = self._asked_at = -np.inf
        self._interpolates: bool | None = None
        self._goals = 0
        self._hold: tuple[float, Vector] | None = None

    def _open_fingers(self) -> ActionFingers | ControllerFingers | None:
        action, controller = self.profile.gripper_action, self.profile.gripper_controller
        if action is not None:
            return ActionFingers(self, action, self.profile.gripper.width)
        return ControllerFingers(self, controller) if controller is not None else None

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

    def recover(self, done: Done) -> None:
        """The robot's error recovery, then its hardware, then its controllers; the supervisor stays in FAULT."""
        if self._controllers is None:
            super().recover(done)
            return
        controllers, hold = self._controllers, self.profile.hold_controller

        def on_active(problem: str) -> None:
            self.switched = self.switched and bool(problem)
            done(problem)

        def on_hardware(problem: str) -> None:
            if problem:
                done(problem)
            else:
                controllers.activate(hold, on_active)

        def on_recovered(problem: str) -> None:
            if problem:
                done(problem)
            else:
                controllers.activate_hardware(on_hardware)

        if self._robot is None:
            on_recovered("")
        else:
            self._robot.recover(on_recovered)

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
            self._step(**self.report())

    def report(self) -> dict[str, str]:
        """See :meth:`Driver.report`."""
        found = super().report()
        now = time.monotonic()
        if now - self._asked_at >= _ASKED_EVERY:
            self._asked_at = now
            self.caller.ask(self._parameters, GetParameters.Request(names=[INTERPOLATES]), self._on_parameters)
        if self._controllers is not None:
            self._controllers.look()
        watched = [each for each in (self._controllers, self._robot) if each is not None]
        unknown = next((each.unknown for each in watched if each.unknown), "")
        found["adapter"] = found["adapter"] or self._unready(now) or unknown
        if not self.switched:
            broken = [each.broken for each in reversed(watched)]
            found["hardware"] = next((text for text in broken if text), found["hardware"])
        elif self._robot is not None:
            found["hardware"] = self._robot.broken
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
