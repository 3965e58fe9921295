"""The supervisor node: messages in, one step of the supervisor, messages out. Thin: what decides is pure."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import rclpy
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from vla_monitor.msg import SupervisorState
from vla_monitor.srv import ResetPolicy

from supervisor_node.alerts import Alerts, Herald
from supervisor_node.answers import Front
from supervisor_node.arms import open_arm
from supervisor_node.core import Supervisor
from supervisor_node.driver import open_driver
from supervisor_node.inbox import Inbox
from supervisor_node.parameters import PARAMETERS, RANGES, config_of, mode_of
from supervisor_node.reports import Reports
from supervisor_node.resets import PolicyReset
from supervisor_node.rivals import Rivals
from supervisor_node.services import offer_services
from supervisor_node.sight import Sight
from supervisor_node.states import MOVING, State
from supervisor_node.values import Inputs, Outputs, Reply, Request, Wish
from vla_uq.errors import InputError

LATEST, KEPT = QoSProfile(depth=1), QoSProfile(depth=50)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
REPEAT, GRAPH, DIAGNOSTICS = 0.1, 0.2, 1.0
LINGER = 0.1
"""Seconds beyond ``shutdown_time`` that the process waits for its last step."""
SECOND_SUPERVISOR = 3
"""Exit code of a supervisor that finds another one at work."""


class SupervisorNode(LifecycleNode):
    """Managed node around a :class:`Supervisor`; active, it is the sole publisher of the arm's commands."""

    def __init__(self, **options: Any) -> None:
        super().__init__("supervisor_node", **options)
        for name, (default, text) in PARAMETERS.items():
            descriptor = ParameterDescriptor(description=text, read_only=name != "mode")
            low, high = RANGES.get(name, (0, 0))
            if type(default) is int:
                descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
            elif type(default) is float:
                descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
            self.declare_parameter(name, default, descriptor)
        self.add_on_set_parameters_callback(self._on_parameters)
        self.run_id = os.urandom(16)
        self.exit_code = 0
        self.leave = threading.Event()
        self._core: Supervisor | None = None
        self._rivals = Rivals(self.run_id)
        self._simulated = 0.0
        self._done = False

    def autostart(self) -> None:
        """Configure and activate, if the parameter says so; a node that cannot be configured stays up, unconfigured."""
        if self._value("autostart") and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    # -- lifecycle -------------------------------------------------------------------------------------------------
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the arm's profile; offer and find all topics."""
        try:
            self._config = config_of({name: self._value(name) for name in PARAMETERS})
            self._arm = open_arm(self._value("robot"))
            herald = Herald({name: self._value(name) for name in PARAMETERS})
            self._driver = open_driver(self, self._arm, self._step)
        except InputError as error:
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        profile = self._arm.profile
        self._reports = Reports(self, self.run_id, profile.frame, LATCHED, LATEST, KEPT)
        self._alerts = Alerts(profile.name, self.get_logger().error, self._tell_health, herald)
        self._subscribe()
        self._serve()
        self.get_logger().info(f"{profile.name}, {self._config.mode.name} mode; this is no safety function")
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin in UNKNOWN, whatever was before."""
        core, steady = Supervisor(self._config, self._arm, self.run_id), Clock(clock_type=ClockType.STEADY_TIME)
        core.set_mode(mode_of(self._value("mode")))
        self._core, reports = core, self._reports
        self._tick = self.create_timer(self._arm.profile.period, lambda: self._step(tick=True), clock=steady)
        self._timers_of_node = [
            self._tick,
            self.create_timer(REPEAT, lambda: reports.state(core.snapshot()), clock=steady),
            self.create_timer(GRAPH, self._look_around, clock=steady),
            self.create_timer(DIAGNOSTICS, self._tell_health, clock=steady),
        ]
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Refused while the arm moves: it is halted first, to be asked again when it rests."""
        assert self._core is not None
        if self._core.state in (State.RESUMING, *MOVING):
            self._step(requests=(Request(0, Wish.HALT, note="the supervisor is being deactivated"),))
        if self._core.state is State.HALTING:
            self.get_logger().warning("halting first: deactivate again when the arm rests")
            return TransitionCallbackReturn.FAILURE
        for timer in self._timers_of_node:
            self.destroy_timer(timer)
        self._core = None
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the topics."""
        self._driver.close()
        self._reports.close()
        self._alerts.close()
        self._inbox.close()
        self._sight.close()
        self._front.close()
        self.destroy_client(self._reset_client)
        self._jumps.unregister()
        return TransitionCallbackReturn.SUCCESS

    def _subscribe(self) -> None:
        self._inbox = Inbox(self, self._step, (LATEST, LATCHED))
        self._inbox.add(SupervisorState, "~/state", self._on_state, LATCHED)
        seen, sensor = (self._step, self._on_stamp, self._inbox.add), qos_profile_sensor_data
        self._sight = Sight(self, self._arm, *seen, sensor, self._config.lockstep)
        if self._value("estop_topic"):
            self._inbox.add_estop(self._value("estop_topic"))
        # The handle must be kept: rclpy crashes at the next jump when it is gone.
        back = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False)
        self._jumps = self.get_clock().create_jump_callback(back, post_callback=self._on_jump)

    def _serve(self) -> None:
        self._reset_client = self.create_client(ResetPolicy, "policy_node/reset_policy")
        self._reset = PolicyReset(self._reset_client, lambda ack: self._step(reset_ack=ack))
        self._front = Front(self, self._ask)
        offer_services(self._front)

    # -- in --------------------------------------------------------------------------------------------------------
    def _now(self) -> float:
        return self._simulated if self._config.lockstep else time.monotonic()

    def _on_stamp(self, stamp: float) -> None:
        self._simulated = stamp

    def _on_jump(self, jump: Any) -> None:
        self._step(clock_jump=f"the ROS clock jumped by {jump.delta.nanoseconds * 1e-9:.3f} s")

    def _on_state(self, message: SupervisorState) -> None:
        if self._core is None or not self._rivals.take(bytes(bytearray(message.run_id)), message.sequence):
            return
        self._step(other_supervisor=True)
        if self._core.state is State.UNKNOWN and self._rivals.older_than(self._reports.sequence):
            self.get_logger().fatal("another supervisor is at work: leaving the arm to it")
            self.exit_code = SECOND_SUPERVISOR
            self.leave.set()

    def _look_around(self) -> None:
        seen = {"publishers": self._driver.publishers(), "subscribers": self._driver.subscribers()}
        self._step(**seen, qos=self._inbox.unheard(), **self._driver.report())

    def _ask(self, request: Request) -> None:
        if self._core is None:
            self._front.reply(Reply(request.id, False, "supervisor_node is not active"))
        else:
            self._step(requests=(request,))

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        reason = "".join(self._set_mode(str(each.value)) for each in parameters if each.name == "mode")
        return SetParametersResult(successful=not reason, reason=reason)

    def _set_mode(self, text: str) -> str:
        try:
            mode = mode_of(text)
        except InputError as error:
            return str(error)
        return "" if self._core is None else self._core.set_mode(mode)

    # -- one step --------------------------------------------------------------------------------------------------
    def _step(self, **inputs: Any) -> None:
        if self._core is None:
            return
        try:
            self._do(self._core.step(self._now(), Inputs(**inputs)))
        except Exception:
            self.fail()

    def fail(self) -> None:
        """Something raised that should not: the arm is held, then the process ends."""
        self.get_logger().fatal(traceback.format_exc())
        self.exit_code = 1
        self.leave.set()
        if self._core is not None:
            with contextlib.suppress(Exception):  # nothing is left to be done then
                self._do(self._core.step(self._now(), Inputs(error="an error of the supervisor, see its log")))

    def _do(self, out: Outputs) -> None:
        self._done = out.exit
        if out.cancel:
            self._driver.cancel()
        if out.command is not None:
            self._driver.send(out.command)
        if out.switch_to:
            self._driver.switch(out.switch_to)
        if out.recover:
            self._driver.recover(lambda problem: self._step(recovered=problem))
        if out.rephase:
            self._tick.reset()
        for happening in out.happenings:
            self._reports.event(happening)
        if out.changed:
            self._reports.state(out.state)
            self._alerts.take(out.state)
        for reply in out.replies:
            self._front.reply(reply)
        if out.reset is not None:
            self._reset.call(out.reset)

    def _tell_health(self) -> None:
        if self._core is not None:
            self._reports.health(self._core.snapshot(), self._core.failures)

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def hold(self, spin: Callable[[float], None]) -> None:
        """Hold what moves and wait until it rests, half a second at most."""
        self._step(shutdown=True)
        deadline = time.monotonic() + (0.0 if self._core is None else self._config.shutdown_time + LINGER)
        while not self._done and time.monotonic() < deadline:
            spin(0.02)


def _executor() -> Executor:
    """Events executor where there is one (a third of the CPU, and faster); the plain one elsewhere."""
    try:
        from rclpy.experimental.events_executor import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    return EventsExecutor()


def main(args: list[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM; then hold, verify, and leave.

    :returns: exit code, 2 for a parameter that cannot be right.
    """
    # rclpy's own handlers would invalidate the context, and the hold could not be published any more.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node, executor = SupervisorNode(), _executor()
    except ParameterException as error:
        print(f"wrong parameter: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: node.leave.set())
    executor.add_node(node)

    def spin(seconds: float) -> None:
        try:
            executor.spin_once(timeout_sec=seconds)  # without a timeout the events executor never returns
        except Exception:
            node.fail()

    node.autostart()
    while not node.leave.is_set():
        spin(0.05)
    node.hold(spin)
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    return node.exit_code
