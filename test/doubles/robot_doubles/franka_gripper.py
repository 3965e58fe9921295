"""franka_gripper: goals run one after another to their end, whatever comes in meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from control_msgs.action import GripperCommand
from franka_msgs.action import Grasp, Move
from rclpy.action import ActionServer, CancelResponse
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from robot_doubles.answers import STEADY, after

WIDEST = 0.08
"""m."""


class FrankaGripperDouble:
    """The gripper's node (``franka_gripper``).

    A goal that comes while another runs is accepted and waits for it: nothing is preempted. Cancelling any goal, or
    the stop service, stops the hand where it is, and a grasp that is stopped holds no more.

    :param fingers: names in its ``~/joint_states``, each of which shows half of the width.
    """

    def __init__(self, node: Node, fingers: Sequence[str] = ("fr3_finger_joint1", "fr3_finger_joint2")) -> None:
        self.node, self.fingers = node, tuple(fingers)
        self.width = WIDEST
        """m."""
        self.object_width = 0.0
        """Width (m) at which closing fingers meet something; 0: nothing there."""
        self.force = 0.0
        """N, with which the fingers press now."""
        self.goals: list[Any] = []
        """Requests of all goals, in order."""
        self.overlapping = 0
        """Goals that came while another one ran."""
        self.stops = 0
        """Cancels and stops."""
        self._last = Future()
        self._last.set_result(None)
        self._stopped = False
        self._servers = [
            ActionServer(node, kind, f"~/{name}", work, cancel_callback=self._on_cancel)
            for kind, name, work in (
                (Move, "move", self._move),
                (Grasp, "grasp", self._grasp),
                (GripperCommand, "gripper_action", self._command),
            )
        ]
        node.create_service(Trigger, "~/stop", self._on_stop)
        self._joints = node.create_publisher(JointState, "~/joint_states", 10)
        node.create_timer(0.033, self._publish, clock=STEADY)

    # -- goals -----------------------------------------------------------------------------------------------------
    async def _move(self, handle: Any) -> Any:
        goal = handle.request
        return Move.Result(success=await self._run(handle, goal.width, goal.speed))

    async def _grasp(self, handle: Any) -> Any:
        goal = handle.request
        slack = (goal.epsilon.inner, goal.epsilon.outer)
        return Grasp.Result(success=await self._run(handle, goal.width, goal.speed, goal.force, slack))

    async def _command(self, handle: Any) -> Any:
        """Opening moves, closing grasps. A grasp that meets an object too early holds it, and is aborted."""
        goal = handle.request.command
        width = 2 * goal.position  # asked for one finger; the answer is the whole width
        if not 0 <= width <= WIDEST:
            handle.abort()
            return GripperCommand.Result()
        if width >= self.width:
            reached = await self._run(handle, width, 0.1)
        else:
            reached = await self._run(handle, width, 0.1, goal.max_effort, (0.005, 0.005))
        return GripperCommand.Result(position=self.width, reached_goal=reached)

    async def _run(
        self, handle: Any, width: float, speed: float, force: float = 0.0, slack: tuple[float, float] = (1e-6, 1e-6)
    ) -> bool:
        """Wait for the goal before, then move the fingers to their end; whether they ended within the slack."""
        self.goals.append(handle.request)
        before, mine = self._last, Future()
        self.overlapping += not before.done()
        self._last = mine
        if not before.done():
            await before
        self._stopped, self.force = False, 0.0
        target = min(max(width, self.object_width), WIDEST)
        while abs(target - self.width) > 1e-9 and not self._stopped:
            await after(self.node, 0.02)
            if not self._stopped:
                step = 0.02 * max(speed, 1e-3)
                self.width += min(max(target - self.width, -step), step)
        self.force = 0.0 if self._stopped else force
        mine.set_result(None)
        within = not self._stopped and width - slack[0] <= self.width <= width + slack[1]
        if handle.is_cancel_requested:
            handle.canceled()
        elif within:
            handle.succeed()
        else:
            handle.abort()
        return within

    def _on_cancel(self, handle: Any) -> CancelResponse:
        self._stop()
        return CancelResponse.ACCEPT

    def _on_stop(self, request: Any, response: Any) -> Any:
        self._stop()
        response.success = True
        return response

    def _stop(self) -> None:
        self.stops += 1
        self._stopped, self.force = True, 0.0

    def _publish(self) -> None:
        message = JointState(name=list(self.fingers), position=[self.width / 2] * len(self.fingers))
        message.header.stamp = self.node.get_clock().now().to_msg()
        self._joints.publish(message)
