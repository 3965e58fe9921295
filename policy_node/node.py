"""The policy node: observations in, a chunk out at once, its trace right after. Thin: what decides is pure."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image, JointState
from vla_monitor.msg import ActionChunk, PolicyInfo, PolicyTrace, Tensor
from vla_monitor.srv import ResetPolicy

from policy_node import backends
from policy_node.announce import details, fill_info, health
from policy_node.assembly import ObservationAssembler
from policy_node.loop import InferenceLoop
from policy_node.observations import load_observation
from policy_node.schedule import InferenceSchedule
from policy_node.session import Decision, PolicySession
from policy_node.streams import Streams
from vla_policy.manifest import WEIGHTS
from vla_uq.contracts import Trace
from vla_uq.errors import InputError

PARAMETERS: dict[str, tuple[Any, ...]] = {
    "autostart": (True, "configure and activate at start, without a lifecycle manager"),
    "back_end": ("", "registered name of the back end; empty: the one that the weights name"),
    "weights": ("", "folder of the policy's weights; empty: the policy that ships"),
    "device": ("cpu", "cpu or cuda"),
    "draws": (1, "chunks sampled for the trace; 1: the executed one alone, without the tensor samples", 1, 64),
    "last_layer": (False, "whether the trace carries the last hidden layer, where the back end has one"),
    "nodes": (0, "last nodes of the path that the members are compared at; 0: all but t = 0", 0, 1000),
    "paths": (1, "sampled paths that the members are compared on; 1: the executed one alone", 1, 64),
    "seed": (-1, "seed of the sampling noise, read at each reset; -1: from entropy", -1, 2**63 - 1),
    "lockstep": (False, "infer by the observations' stamps: the robot waits for every command"),
    "observation": ("tabletop", "what the policy sees: a name of config/observations, or the path of a file"),
    "max_latency": (
        0.0,
        "oldest observation whose chunk still leaves, s; 0: as old as its last action; not in lockstep",
        0.0,
        3600.0,
    ),
    "fingers": (
        ["fr3_finger_joint1", "fr3_finger_joint2"],
        "joints whose positions add up to the fingers' distance; -name: taken off",
    ),
    "frame_id": ("base", "base frame of the actions"),
}
"""Name to default, description and, for numbers, the smallest and the largest value."""
RESENDABLE = QoSProfile(depth=10)
"""Of a writer: a slow recorder gets what it missed. Readers that act keep only the last."""
MESSAGES = {kind.__name__: kind for kind in (CompressedImage, Image, JointState, PoseStamped)}
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
INFO_PERIOD, DIAGNOSTICS_PERIOD, COMPLAINT_PERIOD = 0.1, 1.0, 5.0
NUMBERS = str.maketrans("", "", "0123456789.")
"""Complaints that differ in a number are of one kind, and each kind is logged once in a period."""
RECORDING = ("draws", "last_layer", "nodes", "paths")
"""Parameters that are options of the back end."""
FAREWELL = 1.0
"""Seconds that an inference has to end when its policy is closed."""


class PolicyNode(LifecycleNode):
    """Managed node around an :class:`InferenceLoop`, whose outlet it is."""

    def __init__(self, **options: Any) -> None:
        super().__init__("policy_node", **options)
        for name, (default, text, *limits) in PARAMETERS.items():
            descriptor = ParameterDescriptor(description=text, read_only=name != "seed")
            if limits and type(default) is int:
                descriptor.integer_range = [IntegerRange(from_value=limits[0], to_value=limits[1])]
            elif limits:
                descriptor.floating_point_range = [FloatingPointRange(from_value=limits[0], to_value=limits[1])]
            self.declare_parameter(name, default, descriptor)
        self._open, self._active = False, False
        self._complained: dict[str, float] = {}
        self._loop: InferenceLoop

    def autostart(self) -> None:
        """Configure and activate, if the parameter says so; a node that cannot be configured stays up, unconfigured."""
        if self._value("autostart") and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    # -- lifecycle -------------------------------------------------------------------------------------------------
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the policy and the topics."""
        weights = self._value("weights") or WEIGHTS
        try:
            preset = load_observation(self._value("observation"))
            # Only what was asked for: not every back end has every option.
            options = {name: self._value(name) for name in RECORDING}
            asked = {name: value for name, value in options.items() if value != PARAMETERS[name][0]}
            backend = backends.load(self._value("back_end"), weights, device=self._value("device"), **asked)
        except InputError as error:
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        lockstep, info = self._value("lockstep"), backend.info
        tolerance, max_age = (0.0, math.inf) if lockstep else (preset.tolerance, preset.max_age)
        latest = math.inf if lockstep else self._value("max_latency") or info.horizon * info.step_duration
        prepare = {name: camera.prepare for name, camera in preset.cameras.items()}
        assembler = ObservationAssembler(
            tuple(preset.cameras), self._value("fingers"), tolerance, max_age, preset.joint_states, prepare
        )
        self._loop = InferenceLoop(
            PolicySession(backend, self._value("frame_id")),
            assembler,
            InferenceSchedule(info.execute_steps, info.step_duration, lockstep),
            latest,
            self,
        )
        self._open, self._streams = True, Streams(preset, assembler, self._loop, time.monotonic)
        self._open_topics()
        remarks = "".join(f"; {name}: {text}" for name, text in info.remarks.items())
        found = f"{info.back_end} policy {info.fingerprint}, {info.members} members, from {weights}{remarks}"
        self.get_logger().info(found)
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Answer resets and announce the policy."""
        self._active = True
        self._announce()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop inferring; the next episode needs a reset."""
        self._active = False
        self._loop.halt()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the policy and the topics."""
        self.close_policy()
        for subscription in self._subscriptions_of_robot:
            self.destroy_subscription(subscription)
        for publisher in (self._chunks, self._traces, self._infos, self._diagnostics):
            self.destroy_publisher(publisher)
        for timer in self._timers_of_node:
            self.destroy_timer(timer)
        self.destroy_service(self._service)
        return TransitionCallbackReturn.SUCCESS

    def close_policy(self) -> None:
        """Let go of the back end, if there is one; an inference that does not end is left to itself."""
        if self._open and not self._loop.close(FAREWELL):
            self.get_logger().warning("the back end does not end its inference")
        self._open, self._active = False, False

    def _open_topics(self) -> None:
        self._chunks = self.create_lifecycle_publisher(ActionChunk, "~/chunk", RESENDABLE)
        self._traces = self.create_lifecycle_publisher(PolicyTrace, "~/trace", RESENDABLE)
        # Heartbeats go out on plain publishers: an inactive lifecycle publisher drops silently.
        self._infos = self.create_publisher(PolicyInfo, "~/info", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "diagnostics", 10)
        self._service = self.create_service(ResetPolicy, "~/reset_policy", self._reset)
        self._subscriptions_of_robot = [
            self.create_subscription(MESSAGES[stream.kind], stream.topic, stream.take, qos_profile_sensor_data)
            for stream in self._streams.all()
        ]
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers_of_node = [
            self.create_timer(INFO_PERIOD, self._announce, clock=steady),
            self.create_timer(DIAGNOSTICS_PERIOD, self._diagnose, clock=steady),
        ]

    # -- chunks and traces out, on the thread of the inferences ----------------------------------------------------
    def chunk(self, decision: Decision, age: float) -> None:
        """See :class:`Outlet`."""
        message = replace(decision.chunk, observation_age=age).fill(ActionChunk())
        message.header.stamp = self.get_clock().now().to_msg()
        self._header = message.header
        self._chunks.publish(message)

    def trace(self, trace: Trace) -> None:
        """See :class:`Outlet`."""
        self._traces.publish(trace.fill(PolicyTrace(header=self._header), Tensor))

    def complain(self, problem: str) -> None:
        """See :class:`Outlet`."""
        kind, now = problem.translate(NUMBERS), time.monotonic()
        if now - self._complained.get(kind, -math.inf) >= COMPLAINT_PERIOD:
            self._complained[kind] = now
            self.get_logger().warning(problem)

    # -- what others ask and hear ----------------------------------------------------------------------------------
    def _reset(self, request: ResetPolicy.Request, response: ResetPolicy.Response) -> ResetPolicy.Response:
        session = self._loop.session
        response.run_id = np.frombuffer(session.run_id, np.uint8)
        seed = self._value("seed")
        response.message = (
            self._loop.reset(request.episode_id, request.instruction, None if seed < 0 else seed)
            if self._active
            else "policy_node is not active"
        )
        response.ok = not response.message
        response.first_sequence = session.next_sequence if response.ok else 0
        return response

    def _announce(self) -> None:
        if not self._active:
            return
        message = fill_info(PolicyInfo(), self._loop.session, self._value("frame_id"), self._loop.age)
        message.header.stamp = self.get_clock().now().to_msg()
        self._infos.publish(message)

    def _diagnose(self) -> None:
        loop = self._loop
        level, text = health(loop.problem, loop.busy, loop.latest, loop.running)
        values = [KeyValue(key=key, value=value) for key, value in details(loop.session).items()]
        status = DiagnosticStatus(
            level=getattr(DiagnosticStatus, level), name=self.get_fully_qualified_name(), message=text, values=values
        )
        name, paced = f"{status.name}: camera", not self._value("lockstep")
        reports = {camera: health.report(paced) for camera, health in self._streams.cameras.items()}
        cameras = [
            DiagnosticStatus(level=getattr(DiagnosticStatus, level), name=f"{name} {camera}", message=text)
            for camera, (level, text) in reports.items()
        ]
        message = DiagnosticArray(status=[status, *cameras])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value


def _executor() -> Executor:
    """Events executor where there is one (a third of the CPU, and faster); the plain one elsewhere."""
    try:
        from rclpy.experimental.events_executor import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    return EventsExecutor()


def main(args: list[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM.

    :returns: exit code, 2 for a parameter that cannot be right.
    """
    # rclpy's own handlers would invalidate the context before anything can be said or closed.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        node = PolicyNode()
    except ParameterException as error:
        print(f"wrong parameter: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    executor = _executor()
    executor.add_node(node)
    node.autostart()
    while not stop.is_set():
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    node.close_policy()
    node.destroy_node()
    rclpy.try_shutdown()
    return 0
