"""The node ``teleop_node``: a device's messages in, lease, target and gripper out, as the supervisor expects them."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray, String
from std_srvs.srv import SetBool, Trigger
from vla_monitor.msg import CommandRecord, SupervisorState
from vla_monitor.srv import EndEpisode

from teleop_node import messages
from teleop_node.device import Device, Leader
from teleop_node.files import KEYBOARD, load_device
from teleop_node.hand import Hand
from teleop_node.values import Arm, Handling, Pose, Reading, Wish
from vla_uq.errors import InputError

PERIOD, DIAGNOSTICS = 0.02, 1.0
UNSEEN = 0.5
"""Seconds without a state or a command of the supervisor after which the arm counts as not seen."""
KEPT = 10
"""Messages that a writer keeps: a recorder gets what was lost on its way. The supervisor, which acts, keeps one."""
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class TeleopNode:
    """Publishes under the supervisor's name: the lease at 50 Hz, target and gripper while it is held.

    :param node: the ROS node.
    :raises InputError: no such map, or a wrong one.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        text = ParameterDescriptor(description="the device: a name of config/teleop, or a file", read_only=True)
        self.device: Device = load_device(node.declare_parameter("map", "joy", text).value, messages.READERS)
        self._hand = Hand(self.device)
        self._pose: Pose | None = None
        self._frame, self._gripper = "", float("nan")
        self._joints: dict[str, float] = {}
        self._state = -1
        self._seen_at = self._state_at = -UNSEEN
        self._said = Handling()
        sensor = qos_profile_sensor_data
        node.create_subscription(CommandRecord, "supervisor_node/command", self._on_command, 1)
        node.create_subscription(SupervisorState, "supervisor_node/state", self._on_state, LATCHED)
        if isinstance(self.device.motion, Leader):
            node.create_subscription(JointState, "joint_states", self._on_joints, sensor)
            node.create_subscription(String, "robot_description", self._on_description, LATCHED)
        for name, given in self.device.inputs.items():
            if given.type != KEYBOARD:
                kind, read = messages.READERS[given.type]
                # Best effort is heard from every device, whichever quality it offers.
                node.create_subscription(kind, given.topic, self._reader(name, read), sensor)
        self._lease = node.create_publisher(Bool, "supervisor_node/teleop/active", KEPT)
        self._target = node.create_publisher(PoseStamped, "supervisor_node/teleop/target_pose", KEPT)
        self._opening = node.create_publisher(Float64MultiArray, "supervisor_node/teleop/gripper", KEPT)
        self._diagnostics = node.create_publisher(DiagnosticArray, "diagnostics", 10)
        self._services = self._clients()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(PERIOD, self.step, clock=steady)
        node.create_timer(DIAGNOSTICS, self._report, clock=steady)

    def _clients(self) -> dict[Wish, tuple[Any, Any]]:
        """Wish to client and request; several wishes share one service."""
        make = self.node.create_client
        intervene = make(SetBool, "supervisor_node/set_intervention")
        halt, resume = (make(Trigger, f"supervisor_node/{name}") for name in ("halt", "resume"))
        end = make(EndEpisode, "supervisor_node/end_episode")
        kinds = EndEpisode.Request
        return {
            Wish.TAKE: (intervene, SetBool.Request(data=True)),
            Wish.GIVE: (intervene, SetBool.Request(data=False)),
            Wish.HALT: (halt, Trigger.Request()),
            Wish.RESUME: (resume, Trigger.Request()),
            Wish.SUCCESS: (end, kinds(label=kinds.SUCCESS)),
            Wish.FAILURE: (end, kinds(label=kinds.FAILURE)),
            Wish.DISCARD: (end, kinds(label=kinds.DISCARD)),
        }

    # -- in --------------------------------------------------------------------------------------------------------
    def take(self, name: str, reading: Reading) -> None:
        """An input of the device said something."""
        self._hand.take(time.monotonic(), name, reading)

    def _reader(self, name: str, read: Callable[[Any], Reading]) -> Callable[[Any], None]:
        return lambda message: self.take(name, read(message))

    def _on_command(self, record: CommandRecord) -> None:
        pose = messages.pose(record.measured.pose)
        if pose.finite:
            self._pose, self._seen_at = pose, time.monotonic()
        self._frame, self._gripper = record.header.frame_id, float(record.gripper)

    def _on_state(self, state: SupervisorState) -> None:
        self._state, self._state_at = int(state.state), time.monotonic()

    def _on_joints(self, message: JointState) -> None:
        self._joints.update(zip(message.name, map(float, message.position), strict=False))

    def _on_description(self, message: String) -> None:
        try:
            self._hand.describe(message.data)
        except InputError as error:
            self.node.get_logger().error(str(error))

    # -- out -------------------------------------------------------------------------------------------------------
    def step(self) -> None:
        """Say what the hand does now."""
        now = time.monotonic()
        handling = self._hand.step(now, self._arm(now))
        self._lease.publish(Bool(data=handling.active))
        if handling.target is not None:
            stamp = self.node.get_clock().now().to_msg()
            self._target.publish(messages.target(handling.target, stamp, self._frame))
            opening = messages.opening(handling.gripper)
            if opening:
                self._opening.publish(Float64MultiArray(data=opening))
        for wish in handling.wishes:
            self._ask(wish)
        if (handling.active, handling.note) != (self._said.active, self._said.note):
            self._said = handling
            self.node.get_logger().info(handling.note or "held: the lease is given")
            self._report()

    def _arm(self, now: float) -> Arm | None:
        if self._pose is None or max(now - self._seen_at, now - self._state_at) > UNSEEN:
            return None
        return Arm(self._pose, self._joints, self._gripper, self._state == SupervisorState.TELEOP)

    def _ask(self, wish: Wish) -> None:
        client, request = self._services[wish]
        if not client.service_is_ready():
            self.node.get_logger().warning(f"{wish.value}: {client.srv_name} is not there")
            return
        self.node.get_logger().info(f"asks: {wish.value}")
        client.call_async(request).add_done_callback(lambda done: self._answered(wish, done.result()))

    def _answered(self, wish: Wish, answer: Any) -> None:
        granted = answer.ok if hasattr(answer, "ok") else answer.success
        text = f"{wish.value}: {'granted' if granted else 'refused'}"
        say = self.node.get_logger().info if granted else self.node.get_logger().warning
        say(f"{text}, {answer.message}" if answer.message else text)

    def _report(self) -> None:
        name, stamp = self.node.get_fully_qualified_name(), self.node.get_clock().now().to_msg()
        self._diagnostics.publish(messages.diagnostics(name, self.device.name, self._said, stamp))

    def turn(self) -> None:
        """Everything happens in callbacks."""

    def close(self) -> None:
        """Let go."""
        self._lease.publish(Bool(data=False))


class Turning(Protocol):
    """What :func:`spin` runs."""

    def turn(self) -> None:
        """Done between two looks at the messages, at least 50 times a second."""
        ...

    def close(self) -> None:
        """Let go; the node still lives."""
        ...


def spin(make: Callable[[Node], Turning], arguments: Sequence[str] | None = None) -> None:
    """Be a process with one teleop node and one thread until SIGINT or SIGTERM.

    rclpy's own signal handlers would invalidate the context, and the lease could not be given back any more.

    :raises InputError: wrong parameters or map.
    """
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda signum, _: received.append(signum))
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    node, executor = rclpy.create_node("teleop_node"), SingleThreadedExecutor()
    executor.add_node(node)
    try:
        turning = make(node)
        try:
            while not received:
                turning.turn()
                executor.spin_once(timeout_sec=PERIOD)
        finally:
            turning.close()
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the executable ``teleop_node``: 0 after SIGINT or SIGTERM, 2 with one line on wrong input."""
    try:
        spin(TeleopNode, arguments)
    except (InputError, ParameterException) as error:
        print(f"teleop_node: {error}", file=sys.stderr)
        return 2
    return 0
