"""The node ``scripted_teleop_node``: publishes what a human's device would (contracts.md §8)."""

from __future__ import annotations

import time
from typing import Any

from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import SetBool, Trigger
from vla_monitor.msg import SimState, SupervisorState

from sim_node import messages
from sim_node.tasks import FRANKA
from sim_node.teleop.mirror import Mirror
from sim_node.teleop.operator import Handling, Operator, Wish
from vla_uq.errors import InputError

PERIOD = 0.05
BLIND_AFTER = 0.25
"""Seconds without a state of the scene after which the deadman is let go."""
KEPT = 10
"""Messages that a writer keeps: a recorder gets what was lost on its way. The supervisor, which acts, keeps one."""


class TeleopNode:
    """Hands the operator what is seen, and publishes what it does: with each state of the scene, 20 Hz."""

    def __init__(self, node: Node) -> None:
        self.node = node
        auto = ParameterDescriptor(description="react to the supervisor's takeover requests")
        node.declare_parameter("auto", True, auto)
        delay = ParameterDescriptor(
            description="reaction time (s)",
            read_only=True,
            floating_point_range=[FloatingPointRange(from_value=0.0, to_value=60.0)],
        )
        self._operator = Operator(node.declare_parameter("reaction_delay", 0.5, delay).value)
        robot = ParameterDescriptor(description="arm on the table: franka or widowx, as sim_node's", read_only=True)
        self._mirror = Mirror(node.declare_parameter("robot", FRANKA, robot).value)
        self._supervisor: SupervisorState | None = None
        self._active, self._seen_at, self._problem = False, time.monotonic(), ""
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node.create_subscription(SupervisorState, "supervisor_node/state", self._on_supervisor, latched)
        node.create_subscription(SimState, "sim_node/sim_state", self._on_scene, 1)
        self._pose = node.create_publisher(PoseStamped, "supervisor_node/teleop/target_pose", KEPT)
        self._gripper = node.create_publisher(Float64MultiArray, "supervisor_node/teleop/gripper", KEPT)
        self._deadman = node.create_publisher(Bool, "supervisor_node/teleop/active", KEPT)
        intervention = node.create_client(SetBool, "supervisor_node/set_intervention")
        resume = node.create_client(Trigger, "supervisor_node/resume")
        self._services: dict[Wish, tuple[Any, Any]] = {
            Wish.TAKE: (intervention, SetBool.Request(data=True)),
            Wish.GIVE: (intervention, SetBool.Request(data=False)),
            Wish.RESUME: (resume, Trigger.Request()),
        }
        node.create_timer(PERIOD, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_supervisor(self, state: SupervisorState) -> None:
        self._supervisor = state

    def _on_scene(self, scene: SimState) -> None:
        self._seen_at = time.monotonic()
        try:
            self._mirror.update(scene)
        except InputError as error:
            self._let_go(str(error))
            return
        self._problem = ""
        if self._supervisor is not None:
            self._operator.auto = self.node.get_parameter("auto").value
            self._handle(self._operator.step(self._seen_at, self._mirror, self._supervisor), scene)

    def _handle(self, handling: Handling, scene: SimState) -> None:
        self._active = handling.active
        self._deadman.publish(Bool(data=self._active))
        if handling.target is not None:
            pose = messages.pose(*handling.target)
            self._pose.publish(PoseStamped(header=messages.header(scene.header.stamp), pose=pose))
        if handling.gripper is not None:
            self._gripper.publish(Float64MultiArray(data=[handling.gripper]))
        if handling.wish is not None:
            self._call(handling.wish)

    def _call(self, wish: Wish) -> None:
        client, request = self._services[wish]
        if not client.service_is_ready():
            self.node.get_logger().warning(f"{client.srv_name} is not there")
            return
        self.node.get_logger().info(f"asks: {wish.value}")
        client.call_async(request).add_done_callback(lambda done: self._answered(wish, done.result()))

    def _answered(self, wish: Wish, answer: Any) -> None:
        verdict = "granted" if answer.success else "refused"
        self.node.get_logger().info(f"{wish.value}: {verdict}{f', {answer.message}' if answer.message else ''}")

    def _on_timer(self) -> None:
        """The lease goes on whatever the scene's rate, but nobody drives blind."""
        if self._active and time.monotonic() - self._seen_at > BLIND_AFTER:
            self._let_go("no state of the scene")
        self._deadman.publish(Bool(data=self._active))

    def _let_go(self, problem: str) -> None:
        if problem != self._problem:
            self.node.get_logger().error(problem)
        self._active, self._problem = False, problem

    def turn(self) -> float:
        """Everything happens in callbacks: only listen."""
        return 0.1

    def close(self) -> None:
        """Let go."""
        self._deadman.publish(Bool(data=False))
