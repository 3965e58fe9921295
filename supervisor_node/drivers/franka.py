"""Franka's own state, and its recovery from an error: on request only, one step after the other."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from supervisor_node.arms.parts import Franka
from supervisor_node.drivers.services import interfaces

_MODES = ("OTHER", "IDLE", "MOVE", "GUIDING", "REFLEX", "USER_STOPPED", "AUTOMATIC_ERROR_RECOVERY")
_USABLE = ("IDLE", "MOVE")


class FrankaState:
    """Watches mode and errors: after a user stop all errors may be unset, so the mode is looked at first."""

    def __init__(self, driver: Any, part: Franka, changed: Callable[[], None]) -> None:
        self._driver, self._part, self._changed = driver, part, changed
        self._action = interfaces("franka_msgs.action").ErrorRecovery
        kind = interfaces("franka_msgs.msg").FrankaRobotState
        driver.subscribe(kind, part.robot_state, self._on_state, driver.qualities.sensor)
        implementation = self._action.Impl
        self._send = driver.client(implementation.SendGoalService, f"{part.recovery}/_action/send_goal")
        self._result = driver.client(implementation.GetResultService, f"{part.recovery}/_action/get_result")
        self._seen = False
        self.broken = ""

    @property
    def unknown(self) -> str:
        """Why nothing is known of the robot yet, or ""."""
        return "" if self._seen else f"nothing received on {self._part.robot_state}"

    def _on_state(self, message: Any) -> None:
        before, self._seen = self.broken, True
        self.broken = _trouble(message)
        if self.broken != before:
            self._changed()

    def recover(self, done: Callable[[str], None]) -> None:
        """Run the robot's error recovery, which takes from half a second to half a minute."""
        goal = np.frombuffer(os.urandom(16), np.uint8)
        request = self._action.Impl.SendGoalService.Request()
        request.goal_id.uuid = goal

        def accepted(answer: Any) -> None:
            if not answer.accepted:
                done("error_recovery was refused")
                return
            question = self._action.Impl.GetResultService.Request()
            question.goal_id.uuid = goal
            self._driver.caller.ask(self._result, question, finished, done, self._part.patience)

        def finished(answer: Any) -> None:
            done("" if answer.status == _SUCCEEDED else f"error_recovery ended with status {answer.status}")

        self._driver.caller.ask(self._send, request, accepted, done, 5.0)


_SUCCEEDED = 4  # action_msgs/GoalStatus


def _trouble(message: Any) -> str:
    """What is wrong with the robot, or ""."""
    known = message.robot_mode < len(_MODES)
    mode = _MODES[message.robot_mode] if known else str(message.robot_mode)
    errors = _set(message.current_errors)
    if mode not in _USABLE:
        why = ", ".join(errors or _set(message.last_motion_errors))
        return f"robot_mode {mode}" + (f": {why}" if why else "")
    return f"robot error: {', '.join(errors)}" if errors else ""


def _set(errors: Any) -> list[str]:
    """Names of the errors that are set."""
    return [name for name in errors.get_fields_and_field_types() if getattr(errors, name)]
