"""The node ``deadman_node``: watches the supervisor's state from another process.

On an arm behind CRISP's topics it only reports: a second publisher of targets would freeze them all, in normal
operation too, and the arm keeps its last target, at most one command ahead, by itself.
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
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Bool
from vla_monitor.msg import SupervisorState

from supervisor_node.arms import open_arm
from supervisor_node.deadman.watch import Watch
from supervisor_node.states import State
from vla_uq.errors import InputError

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
CHECK, REPEAT = 0.02, 0.1


class DeadmanNode(Node):
    """Publishes ``~/tripped`` and diagnostics; its publishers exist from the start, for discovery takes seconds.

    :raises InputError: unknown arm.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("deadman_node", **options)
        robot = ParameterDescriptor(description="arm profile: a name of config/arms, or a file", read_only=True)
        limits = [FloatingPointRange(from_value=0.15, to_value=5.0)]
        timeout = ParameterDescriptor(
            description="silence of the supervisor that trips, s", read_only=True, floating_point_range=limits
        )
        self._arm = open_arm(self.declare_parameter("robot", "franka_crisp_sim", robot).value)
        self._watch = Watch(self.declare_parameter("timeout", 0.3, timeout).value)
        self._tripped = self.create_publisher(Bool, "~/tripped", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "diagnostics", 10)
        self.create_subscription(SupervisorState, "supervisor_node/state", self._on_state, LATCHED)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(CHECK, self._check, clock=steady)
        self.create_timer(REPEAT, self._report, clock=steady)

    def _on_state(self, message: SupervisorState) -> None:
        self._watch.saw(time.monotonic(), State(message.state))

    def _check(self) -> None:
        if self._watch.check(time.monotonic()):
            self.get_logger().error(f"the supervisor fell silent while it moved {self._arm.profile.name}")
            self._report()

    def _report(self) -> None:
        self._tripped.publish(Bool(data=self._watch.tripped))
        silence = self._watch.silence(time.monotonic())
        tripped = self._watch.tripped
        text = (
            "the supervisor fell silent while the arm moved"
            if tripped
            else "armed"
            if self._watch.armed
            else "watching"
        )
        status = DiagnosticStatus(
            level=DiagnosticStatus.ERROR if tripped else DiagnosticStatus.OK,
            name=self.get_fully_qualified_name(),
            hardware_id=self._arm.profile.name,
            message=text,
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
    except InputError as error:
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
