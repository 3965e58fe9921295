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
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, JointState
from vla_monitor.msg import ActionChunk, PolicyInfo, PolicyTrace, Tensor
from vla_monitor.srv import ResetPolicy

from policy_node import backends
from policy_node.assembly import Assembled, ObservationAssembler
from policy_node.schedule import InferenceSchedule
from policy_node.session import PolicySession
from vla_policy.manifest import WEIGHTS
from vla_policy.observation import CAMERAS
from vla_uq.errors import InputError
from vla_uq.images import decode

MOST_PIXELS = 4096
PARAMETERS: dict[str, tuple[Any, ...]] = {
    "autostart": (True, "configure and activate at start, without a lifecycle manager"),
    "back_end": ("", "registered name of the back end; empty: the one that the weights name"),
    "weights": ("", "folder of the policy's weights; empty: the policy that ships"),
    "device": ("cpu", "cpu or cuda"),
    "draws": (1, "chunks sampled for the trace; 1: the executed one alone, without the tensor samples", 1, 64),
    "last_layer": (False, "whether the trace carries the last hidden layer, where the back end has one"),
    "seed": (-1, "seed of the sampling noise, read at each reset; -1: from entropy", -1, 2**63 - 1),
    "lockstep": (False, "infer by the observations' stamps: the robot waits for every command"),
    "tolerance": (
        0.05,
        "largest distance of stamps within one observation, s; in lockstep they are equal",
        0.0,
        10.0,
    ),
    "max_age": (0.3, "oldest part of an observation that is acted on, s since receipt; not in lockstep", 0.0, 10.0),
    "image_height": (256, "pixels of the camera images", 1, MOST_PIXELS),
    "image_width": (256, "pixels of the camera images", 1, MOST_PIXELS),
    "fingers": (
        ["fr3_finger_joint1", "fr3_finger_joint2"],
        "joints whose positions add up to the fingers' distance; -name: taken off",
    ),
    "frame_id": ("base", "base frame of the actions"),
}
"""Name to default, description and, for numbers, the smallest and the largest value."""
RESENDABLE = QoSProfile(depth=10)
"""Of a writer: a slow recorder gets what it missed. Readers that act keep only the last."""
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
INFO_PERIOD, DIAGNOSTICS_PERIOD = 0.1, 1.0


class PolicyNode(LifecycleNode):
    """Managed node around a :class:`PolicySession`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("policy_node", **options)
        for name, (default, text, *limits) in PARAMETERS.items():
            descriptor = ParameterDescriptor(description=text, read_only=name != "seed")
            if limits and type(default) is int:
                descriptor.integer_range = [IntegerRange(from_value=limits[0], to_value=limits[1])]
            elif limits:
                descriptor.floating_point_range = [FloatingPointRange(from_value=limits[0], to_value=limits[1])]
            self.declare_parameter(name, default, descriptor)
        self._active = False
        self._last_inference: float | None = None
        self._fault = ""
        self._session: PolicySession

    def autostart(self) -> None:
        """Configure and activate, if the parameter says so; a node that cannot be configured stays up, unconfigured."""
        if self._value("autostart") and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    # -- lifecycle -------------------------------------------------------------------------------------------------
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the policy and the topics."""
        weights = self._value("weights") or WEIGHTS
        try:
            # Only what was asked for: not every back end has every option.
            options = {name: self._value(name) for name in ("draws", "last_layer")}
            asked = {name: value for name, value in options.items() if value != PARAMETERS[name][0]}
            backend = backends.load(self._value("back_end"), weights, device=self._value("device"), **asked)
        except InputError as error:
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        self._session = PolicySession(backend, self._value("frame_id"))
        lockstep, info = self._value("lockstep"), backend.info
        tolerance, max_age = (0.0, math.inf) if lockstep else (self._value("tolerance"), self._value("max_age"))
        self._assembler = ObservationAssembler(CAMERAS, self._value("fingers"), tolerance, max_age)
        self._schedule = InferenceSchedule(info.execute_steps, info.step_duration, lockstep)
        self._size = self._value("image_height"), self._value("image_width")
        self._open()
        self.get_logger().info(f"{info.back_end} policy {info.fingerprint}, {info.members} members, from {weights}")
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Answer resets and announce the policy."""
        self._active = True
        self._announce()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop inferring; the next episode needs a reset."""
        self._active = False
        self._schedule.stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the topics."""
        self._active = False
        for subscription in self._subscriptions_of_robot:
            self.destroy_subscription(subscription)
        for publisher in (self._chunks, self._traces, self._infos, self._diagnostics):
            self.destroy_publisher(publisher)
        for timer in self._timers_of_node:
            self.destroy_timer(timer)
        self.destroy_service(self._service)
        return TransitionCallbackReturn.SUCCESS

    def _open(self) -> None:
        self._chunks = self.create_lifecycle_publisher(ActionChunk, "~/chunk", RESENDABLE)
        self._traces = self.create_lifecycle_publisher(PolicyTrace, "~/trace", RESENDABLE)
        # Heartbeats go out on plain publishers: an inactive lifecycle publisher drops silently.
        self._infos = self.create_publisher(PolicyInfo, "~/info", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "diagnostics", 10)
        self._service = self.create_service(ResetPolicy, "~/reset_policy", self._reset)
        sensor = qos_profile_sensor_data
        self._subscriptions_of_robot = [
            self.create_subscription(JointState, "joint_states", self._on_joints, sensor),
            self.create_subscription(PoseStamped, "current_pose", self._on_pose, sensor),
            *(
                self.create_subscription(Image, f"{name}/image_raw", lambda m, n=name: self._on_image(n, m), sensor)
                for name in CAMERAS
            ),
        ]
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers_of_node = [
            self.create_timer(INFO_PERIOD, self._announce, clock=steady),
            self.create_timer(DIAGNOSTICS_PERIOD, self._diagnose, clock=steady),
        ]

    # -- observations in -------------------------------------------------------------------------------------------
    def _on_joints(self, message: JointState) -> None:
        self._take(self._assembler.joint_state, _stamp(message), message.name, message.position)

    def _on_pose(self, message: PoseStamped) -> None:
        p, q = message.pose.position, message.pose.orientation
        self._take(self._assembler.pose, _stamp(message), (p.x, p.y, p.z), (q.x, q.y, q.z, q.w))

    def _on_image(self, camera: str, message: Image) -> None:
        try:
            image = decode(message, camera, self._size)
        except InputError as error:
            self._complain(error)
        else:
            self._take(self._assembler.image, camera, _stamp(message), image)

    def _take(self, store: Any, *values: Any) -> None:
        now = time.monotonic()
        try:
            store(*values, now)
        except InputError as error:
            self._complain(error)
        else:
            self._infer_if_due(now)

    def _complain(self, error: InputError) -> None:
        self._fault = str(error)
        self.get_logger().warning(self._fault, throttle_duration_sec=5.0)

    # -- chunks and traces out -------------------------------------------------------------------------------------
    def _infer_if_due(self, now: float) -> None:
        if not self._active or not self._schedule.due(now):
            return
        assembled = self._assembler.assemble(self._session.instruction, now)
        if assembled is not None and self._schedule.start(assembled.observation.stamp, assembled.oldest):
            self._infer(assembled)

    def _infer(self, assembled: Assembled) -> None:
        decision = self._session.decide(assembled.observation)
        age = time.monotonic() - assembled.oldest
        message = replace(decision.chunk, observation_age=age).fill(ActionChunk())
        message.header.stamp = self.get_clock().now().to_msg()
        self._chunks.publish(message)
        trace = self._session.trace(decision).fill(PolicyTrace(header=message.header), Tensor)
        self._traces.publish(trace)
        self._last_inference = time.monotonic()
        self._fault = ""

    def _reset(self, request: ResetPolicy.Request, response: ResetPolicy.Response) -> ResetPolicy.Response:
        """Forget everything of the episode before; an empty episode_id ends inferring until the next reset."""
        response.run_id = np.frombuffer(self._session.run_id, np.uint8)
        if not self._active:
            response.message = "policy_node is not active"
            return response
        seed = self._value("seed")
        self._session.reset(request.episode_id, request.instruction, None if seed < 0 else seed)
        response.ok, response.first_sequence = True, self._session.next_sequence
        # Nothing received before now is acted on; in lockstep the robot publishes what it waits with again.
        self._assembler.clear()
        if request.episode_id:
            self._schedule.reset()
        else:
            self._schedule.stop()
        return response

    def _announce(self) -> None:
        if not self._active:
            return
        now, info = time.monotonic(), self._session.backend.info
        message = PolicyInfo(
            run_id=np.frombuffer(self._session.run_id, np.uint8),
            fingerprint=info.fingerprint,
            back_end=info.back_end,
            members=info.members,
            space=int(info.space),
            reference=int(info.reference),
            names=list(info.names),
            horizon=info.horizon,
            dim=info.dim,
            execute_steps=info.execute_steps,
            tensors=list(self._session.tensors),
            last_inference_age=-1.0 if self._last_inference is None else now - self._last_inference,
        )
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = self._value("frame_id")
        message.step_duration = Duration(seconds=info.step_duration).to_msg()
        self._infos.publish(message)

    def _diagnose(self) -> None:
        waiting = self._assembler.problem if self._schedule.running else ""
        problem = self._fault or waiting
        level = DiagnosticStatus.WARN if problem else DiagnosticStatus.OK
        text = problem or ("inferring" if self._schedule.running else "no episode")
        status = DiagnosticStatus(level=level, name=self.get_fully_qualified_name(), message=text)
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value


def _stamp(message: Any) -> tuple[int, int]:
    return int(message.header.stamp.sec), int(message.header.stamp.nanosec)


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
    node.destroy_node()
    rclpy.try_shutdown()
    return 0
