"""joint_trajectory_controller's topics and action in front of :mod:`robot_doubles.trajectory`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from control_msgs.action import FollowJointTrajectory
from control_msgs.msg import JointTrajectoryControllerState
from numpy.typing import NDArray
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future
from rclpy.time import Time
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robot_doubles.answers import STEADY
from robot_doubles.plant import Plant
from robot_doubles.trajectory import Follower, Point, Trajectory

Vector = NDArray[np.float64]
Result = FollowJointTrajectory.Result


def seconds(duration: Duration) -> float:
    """Length of a duration message."""
    return float(duration.sec + duration.nanosec * 1e-9)


@dataclass(frozen=True, eq=False)
class _Goal:
    """The goal that runs.

    :param pending_until: of the plant's clock.
    :param ended: how (a method of the handle), code and text.
    """

    handle: Any
    pending_until: float
    ended: Future = field(default_factory=Future)


class JtcDouble:
    """One joint_trajectory_controller; its node carries the controller's name and parameters.

    Numbers that are not finite pass, as do limits. A trajectory of the topic is no goal: cancelling does nothing to it.

    :param joints: names among the plant's joints; None for all.
    """

    def __init__(self, node: Node, plant: Plant, joints: Sequence[str] | None = None) -> None:
        self.node, self.plant = node, plant
        names = tuple(joints or plant.names)
        self._columns = [plant.names.index(name) for name in names]
        self.follower = Follower(names, self._measured())
        self.active = True
        """Inactive, it takes nothing, and the hardware keeps the last setpoint."""
        self.goal_pending = 0.05
        """Seconds that an accepted goal stays pending: points of the topic are ignored in the meantime."""
        self.received: list[JointTrajectory] = []
        """All messages of the topic."""
        self.refused: list[str] = []
        """Why messages and goals were ignored."""
        self.goals: list[Any] = []
        """Handles of accepted goals."""
        self.cancels = 0
        """Goals that were asked to be cancelled."""
        self._goal: _Goal | None = None
        self._ends: dict[bytes, Future] = {}
        for name, value in (
            ("joints", list(names)),
            ("command_interfaces", ["position"]),
            ("interpolate_from_desired_state", False),
            ("open_loop_control", False),
            ("allow_nonzero_velocity_at_trajectory_end", False),
            ("cmd_timeout", 0.0),
            ("constraints.goal_time", 0.0),
        ):
            node.declare_parameter(name, value)
        node.create_subscription(JointTrajectory, "~/joint_trajectory", self._on_trajectory, 10)
        self._state = node.create_publisher(JointTrajectoryControllerState, "~/controller_state", 10)
        self._server = ActionServer(
            node,
            FollowJointTrajectory,
            "~/follow_joint_trajectory",
            self._execute,
            goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=self._on_cancel,
        )
        node.create_timer(0.01, self._update, clock=STEADY)
        node.create_timer(0.02, self._publish, clock=STEADY)

    def configure(self, **parameters: Any) -> None:
        """Set parameters of the node, dots written as two underscores."""
        self.node.set_parameters([Parameter(k.replace("__", "."), value=v) for k, v in parameters.items()])

    def activate(self, on: bool) -> None:
        """Start holding where the arm stands, or let go: a running goal is aborted, the last setpoint stays."""
        if on and not self.active:
            self.follower.hold(self._measured())
        if not on:
            self._end("abort", Result.INVALID_GOAL, "deactivated")
        self.active = on

    # -- commands ----------------------------------------------------------------------------------------------------
    def _on_trajectory(self, message: JointTrajectory) -> None:
        self.received.append(message)
        trajectory = self._read(message)
        reason = "not active" if not self.active else self._refuses(trajectory)
        if not reason and self._goal is not None and self.plant.clock() < self._goal.pending_until:
            reason = "a goal is pending"
        if reason:
            self.refused.append(reason)
        else:
            self._start(trajectory)

    def _on_goal(self, goal: Any) -> GoalResponse:
        reason = "not active" if not self.active else self._refuses(self._read(goal.trajectory))
        if reason:
            self.refused.append(reason)
        return GoalResponse.REJECT if reason else GoalResponse.ACCEPT

    def _on_accepted(self, handle: Any) -> None:
        self._end("abort", Result.INVALID_GOAL, "preempted by a new goal")
        self.goals.append(handle)
        self._goal = _Goal(handle, self.plant.clock() + self.goal_pending)
        self._ends[bytes(handle.goal_id.uuid)] = self._goal.ended
        self._start(self._read(handle.request.trajectory))
        handle.execute()

    async def _execute(self, handle: Any) -> Any:
        how, code, text = await self._ends.pop(bytes(handle.goal_id.uuid))
        getattr(handle, how)()
        return Result(error_code=code, error_string=text)

    def _on_cancel(self, handle: Any) -> CancelResponse:
        self.cancels += 1
        if self._goal is not None and self._goal.handle is handle:
            self.follower.hold(self._measured())
            self._end("canceled", Result.SUCCESSFUL, "")
        return CancelResponse.ACCEPT

    def _end(self, how: str, code: int, text: str) -> None:
        goal, self._goal = self._goal, None
        if goal is not None:
            goal.ended.set_result((how, code, text))

    def _read(self, message: JointTrajectory) -> Trajectory:
        points = tuple(
            Point(seconds(p.time_from_start), tuple(p.positions), tuple(p.velocities)) for p in message.points
        )
        stamp = Time.from_msg(message.header.stamp, clock_type=self.node.get_clock().clock_type)
        starts_in = (stamp - self.node.get_clock().now()).nanoseconds * 1e-9 if stamp.nanoseconds else None
        return Trajectory(tuple(message.joint_names), points, starts_in)

    def _refuses(self, trajectory: Trajectory) -> str:
        self.follower.nonzero_end_velocity = bool(self._parameter("allow_nonzero_velocity_at_trajectory_end"))
        return self.follower.refuses(trajectory)

    def _start(self, trajectory: Trajectory) -> None:
        desired = self._parameter("interpolate_from_desired_state") or self._parameter("open_loop_control")
        self.follower.interpolate_from_desired = bool(desired)
        self.follower.start(trajectory, self.plant.clock(), self._measured())

    # -- motion ------------------------------------------------------------------------------------------------------
    def _update(self) -> None:
        self.plant.advance()
        if not self.active:
            return
        timeout = float(self._parameter("cmd_timeout"))
        self.follower.cmd_timeout = timeout if timeout > float(self._parameter("constraints.goal_time")) else 0.0
        setpoint = self.plant.setpoint.copy()
        setpoint[self._columns] = self.follower.advance(self.plant.clock(), self._measured())
        self.plant.follow(setpoint)
        if self._goal is not None and self.follower.done(self.plant.clock()):
            self._end("succeed", Result.SUCCESSFUL, "Goal successfully reached!")

    def _publish(self) -> None:
        if not self.active:
            return
        message = JointTrajectoryControllerState(joint_names=list(self.follower.names))
        message.header.stamp = self.node.get_clock().now().to_msg()
        position, speed = self._measured(), self.plant.qd[self._columns]
        message.reference = _point(self.follower.position, self.follower.velocity)
        message.feedback = _point(position, speed)
        message.error = _point(self.follower.position - position, self.follower.velocity - speed)
        message.output = _point(self.follower.position, np.zeros(0))
        message.speed_scaling_factor = 1.0
        self._state.publish(message)

    def _measured(self) -> Vector:
        return self.plant.measured()[self._columns]

    def _parameter(self, name: str) -> Any:
        return self.node.get_parameter(name).value


def _point(positions: Vector, velocities: Vector) -> JointTrajectoryPoint:
    return JointTrajectoryPoint(positions=positions.tolist(), velocities=velocities.tolist())
