"""The node ``deadman_node``: watches the supervisor's state from a process of its own, and stops the arm when it fails.

An arm that takes joint targets gets one more: the last one. On an arm behind CRISP's topics the deadman publishes
none: a second publisher would freeze them all, in normal operation too. There it switches to the arm's hold
controller, where the profile names one; elsewhere it reports, and the arm keeps its last target, at most ``max_ahead``
away, by itself. It never gives the arm back: an operator does, with the supervisor's ``recover_robot``.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Bool
from vla_monitor.msg import SupervisorState

from supervisor_node.arms import open_arm
from supervisor_node.deadman.backstop import Backstop, Hold
from supervisor_node.deadman.hands import JointHold
from supervisor_node.deadman.watch import Watch
from supervisor_node.states import State
from supervisor_node.switching import open_switch
from vla_uq.errors import InputError

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
CHECK, REPEAT = 0.02, 0.1


class DeadmanNode(Node):
    """Publishes ``~/tripped`` and diagnostics; publishers and clients exist from the start: discovery takes seconds.

    :raises InputError: unknown arm, or its hold controller cannot be switched to.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("deadman_node", **options)
        robot = ParameterDescriptor(description="arm profile: a name of config/arms, or a file", read_only=True)
        limits = [FloatingPointRange(from_value=0.15, to_value=5.0)]
        timeout = ParameterDescriptor(
            description="silence of the supervisor that trips, s", read_only=True, floating_point_range=limits
        )
        self._arm = open_arm(self.declare_parameter("robot", "franka_crisp_sim", robot).value)
        watch = Watch(self.declare_parameter("timeout", 0.3, timeout).value)
        self._switch = open_switch(self, self._arm.profile, LATCHED)
        self._backstop = Backstop(watch, self._hold())
        self._said = ""
        self._tripped = self.create_publisher(Bool, "~/tripped", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "diagnostics", 10)
        self.create_subscription(SupervisorState, "supervisor_node/state", self._on_state, LATCHED)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(CHECK, self._check, clock=steady)
        self.create_timer(REPEAT, self._report, clock=steady)

    def _hold(self) -> Hold | None:
        """How this arm is held by somebody who is not its supervisor; None where that cannot be."""
        if self._arm.profile.kind in ("jtc", "xs"):
            return JointHold(self, self._arm.profile).hold
        return self._switch.hold if self._switch is not None else None

    def _on_state(self, message: SupervisorState) -> None:
        self._backstop.watch.saw(time.monotonic(), State(message.state))

    def _check(self) -> None:
        tripped = self._backstop.check(time.monotonic())
        if self._backstop.watch.tripped and self._backstop.text != self._said:
            self.get_logger().error(f"{self._arm.profile.name}: {self._backstop.text}")
        self._said = self._backstop.text
        if tripped:
            self._report()

    def _report(self) -> None:
        if self._switch is not None:
            self._switch.look()
        watch = self._backstop.watch
        self._tripped.publish(Bool(data=watch.tripped))
        silence = watch.silence(time.monotonic())
        status = DiagnosticStatus(
            level=DiagnosticStatus.ERROR if watch.tripped else DiagnosticStatus.OK,
            name=self.get_fully_qualified_name(),
            hardware_id=self._arm.profile.name,
            message=self._backstop.text,
            values=[KeyValue(key="silence_s", value="never heard" if silence is None else f"{silence:.2f}")],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def main(args: list[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM.

    :return: 2 on wrong parameters, which are said in one line.
    """
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        node = DeadmanNode()
    except (InputError, ParameterException) as error:
        rclpy.logging.get_logger("deadman_node").error(str(error))
        rclpy.try_shutdown()
        return 2
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not stop.is_set():
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    return 0
