"""Grippers of arms behind ros2_control: an action that runs each goal to its end, or a controller."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
from trajectory_msgs.msg import JointTrajectory

from supervisor_node.arms.parts import GripperAction, GripperController
from supervisor_node.drivers.services import interfaces
from supervisor_node.drivers.wire import trajectory
from supervisor_node.grasp import OneGoal

_GRASP = 30.0
"""Seconds that a goal of the gripper may take."""
_AGAIN = 1.0
"""Seconds after which a target is repeated: a topic may drop one."""


class ActionFingers:
    """A ``GripperCommand`` action: hysteresis, one goal in flight, none cancelled.

    :param driver: of the arm.
    :param width: between open fingers (m); the action counts half of it.
    """

    def __init__(self, driver: Any, part: GripperAction, width: float) -> None:
        self._driver, self._part, self._width = driver, part, width
        self._implementation = interfaces("control_msgs.action").GripperCommand.Impl
        self._send = driver.client(self._implementation.SendGoalService, f"{part.action}/_action/send_goal")
        self._result = driver.client(self._implementation.GetResultService, f"{part.action}/_action/get_result")
        self._goals = OneGoal(part.hysteresis)
        self._failed_at: float | None = None

    def lead(self, opening: float) -> None:
        """Ask for an opening; often the same one."""
        if self._failed_at is not None and time.monotonic() - self._failed_at > _AGAIN:
            self._failed_at = None
            self._goals.failed()
        self._start(self._goals.want(opening))

    def _start(self, opening: float | None) -> None:
        if opening is None:
            return
        goal = np.frombuffer(os.urandom(16), np.uint8)
        request = self._implementation.SendGoalService.Request()
        request.goal_id.uuid = goal
        request.goal.command.position = opening * self._width / 2
        request.goal.command.max_effort = self._part.effort

        def accepted(answer: Any) -> None:
            if not answer.accepted:
                self._fail("the goal was refused")
                return
            question = self._implementation.GetResultService.Request()
            question.goal_id.uuid = goal
            finished = lambda _: self._start(self._goals.done())  # noqa: E731
            self._driver.caller.ask(self._result, question, finished, self._fail, _GRASP)

        self._driver.caller.ask(self._send, request, accepted, self._fail)

    def _fail(self, problem: str) -> None:
        self._driver.node.get_logger().warning(f"gripper: {problem}", throttle_duration_sec=5.0)
        self._failed_at = time.monotonic()


class ControllerFingers:
    """A trajectory controller of one finger."""

    def __init__(self, driver: Any, part: GripperController) -> None:
        self._part = part
        self._publisher = driver.publish_on(JointTrajectory, f"{part.controller}/joint_trajectory")
        self._sent: tuple[float, float] | None = None

    def lead(self, opening: float) -> None:
        """Ask for an opening: told when it changes, and again now and then."""
        now = time.monotonic()
        if self._sent is not None and self._sent[0] == opening and now - self._sent[1] < _AGAIN:
            return
        part, self._sent = self._part, (opening, now)
        place = part.closed + opening * (part.open - part.closed)
        self._publisher.publish(trajectory([part.joint], np.array([place]), part.reach))


def open_fingers(driver: Any) -> ActionFingers | ControllerFingers | None:
    """The gripper of an arm, as its profile describes it; None where it has no part of its own."""
    profile = driver.profile
    if profile.gripper_action is not None:
        return ActionFingers(driver, profile.gripper_action, profile.gripper.width)
    return ControllerFingers(driver, profile.gripper_controller) if profile.gripper_controller is not None else None
