"""The monitor node: a trace in, its failure score out at once, pictures when there is time. What decides is pure."""

from __future__ import annotations

import array
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Point, PoseStamped
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray
from vla_monitor.msg import ActionChunk, DetectorScore, FailureScore, MonitorInfo, PolicyTrace, SupervisorState

from monitor_node.announce import announcement
from monitor_node.engine import ScoringEngine
from monitor_node.markers import LIFETIME
from monitor_node.overlay import View, draw
from monitor_node.painter import Painter
from monitor_node.story import Story
from vla_policy.manifest import WEIGHTS
from vla_policy.observation import CAMERAS
from vla_uq.bundle import Bundle
from vla_uq.contracts import Chunk, Key, Score, Trace
from vla_uq.errors import InputError
from vla_uq.images import decode

SHIPPED = WEIGHTS / "bundle.safetensors"
LATEST = QoSProfile(depth=1)
RESENDABLE = QoSProfile(depth=10)
"""Of a writer: a slow recorder gets what it missed. Readers that act keep only the last."""
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
INFO_PERIOD, DIAGNOSTICS_PERIOD = 0.1, 1.0
STATES = ("UNKNOWN", "IDLE", "AUTONOMOUS", "HALTING", "HALTED", "TELEOP", "RESUMING", "FAULT", "SHUTDOWN")
STATE_NAMES = {getattr(SupervisorState, name): name for name in STATES}


class MonitorNode(LifecycleNode):
    """Managed node around a :class:`ScoringEngine`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("monitor_node", **options)
        self._declare("autostart", True, "configure and activate at start, without a lifecycle manager")
        self._declare("bundle", "", "the monitor's bundle; empty: the one that ships with the policy")
        rate = FloatingPointRange(from_value=0.0, to_value=10.0)
        text = "overlay pictures a second, drawn only while somebody watches; 0: none"
        self._declare("overlay_rate", 10.0, text, floating_point_range=[rate])
        self._run_id = os.urandom(16)
        self._active = False
        self._last: tuple[Score, float] | None = None
        self._painter = Painter(self._complain)
        self._fault = ""

    def _declare(self, name: str, default: Any, text: str, **limits: Any) -> None:
        self.declare_parameter(name, default, ParameterDescriptor(description=text, read_only=True, **limits))

    def autostart(self) -> None:
        """Configure and activate, if the parameter says so; a node that cannot be configured stays up, unconfigured."""
        if self._value("autostart") and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    # -- lifecycle -------------------------------------------------------------------------------------------------
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the bundle and the topics."""
        path = self._value("bundle") or SHIPPED
        try:
            bundle = Bundle.load(path)
        except InputError as error:
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        self._engine, self._story = ScoringEngine(bundle), Story()
        step = Duration(seconds=bundle.policy.step_duration).to_msg()
        self._announcement = announcement(bundle) | {"step_duration": step}
        self._images: dict[str, bytes] = {}
        self._open()
        detectors = ", ".join(bundle.detectors)
        self.get_logger().info(
            f"{detectors} at alpha {bundle.alpha:g} ({bundle.nonconformity.method}, n {bundle.n_calibration}, realised "
            f"below {bundle.realised_bound:.3g}) for policy {bundle.policy.fingerprint}, from {path}"
        )
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Score, and announce the monitor."""
        self._active = True
        self._announce()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Score nothing: every gate that asks for scores stays closed."""
        self._active = False
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the topics."""
        self._active = False
        self._painter.settle()
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        for publisher in (self._scores, self._infos, self._markers, self._overlays, self._diagnostics):
            self.destroy_publisher(publisher)
        for timer in self._clockwork:
            self.destroy_timer(timer)
        return TransitionCallbackReturn.SUCCESS

    def _open(self) -> None:
        self._scores = self.create_lifecycle_publisher(FailureScore, "~/score", RESENDABLE)
        # Heartbeats go out on plain publishers: an inactive lifecycle publisher drops silently.
        self._infos = self.create_publisher(MonitorInfo, "~/info", LATCHED)
        self._markers = self.create_publisher(MarkerArray, "~/markers", LATEST)
        self._overlays = self.create_publisher(Image, "~/overlay", LATEST)
        self._diagnostics = self.create_publisher(DiagnosticArray, "diagnostics", 10)
        sensor, rate = qos_profile_sensor_data, self._value("overlay_rate")
        self._inputs = [
            self.create_subscription(PolicyTrace, "policy_node/trace", self._on_trace, LATEST),
            self.create_subscription(ActionChunk, "policy_node/chunk", self._on_chunk, LATEST),
            self.create_subscription(SupervisorState, "supervisor_node/state", self._on_state, LATCHED),
            self.create_subscription(PoseStamped, "current_pose", self._on_pose, sensor),
        ]
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._clockwork = [
            self.create_timer(INFO_PERIOD, self._announce, clock=steady),
            self.create_timer(DIAGNOSTICS_PERIOD, self._diagnose, clock=steady),
        ]
        if rate > 0:
            self._clockwork.append(self.create_timer(1 / rate, self._paint, clock=steady))
            # Images stay serialised until a picture is drawn of them: most never are.
            for name in CAMERAS:
                topic, keep = f"{name}/image_raw", lambda data, n=name: self._images.update({n: data})
                self._inputs.append(self.create_subscription(Image, topic, keep, sensor, raw=True))

    # -- scoring ---------------------------------------------------------------------------------------------------
    def _on_trace(self, message: PolicyTrace) -> None:
        if not self._active:
            return
        received = time.monotonic()
        try:
            trace = Trace.from_message(message)
        except InputError as error:
            # Without its tensors it scores NaN, which names this inference and passes nowhere.
            self._complain(error)
            trace = Trace(Key.from_message(message.key), message.chunk_digest, message.fingerprint, {})
        try:
            score = self._engine.score(trace)
        except InputError as error:
            self._complain(error)
            return
        score = replace(score, latency=time.monotonic() - received)
        answer = score.fill(FailureScore(), DetectorScore)
        answer.header.stamp = self.get_clock().now().to_msg()
        self._scores.publish(answer)
        self._last = score, time.monotonic()
        self._story.score(score)
        self._mark()

    def _complain(self, error: Exception) -> None:
        self._fault = str(error)
        self.get_logger().warning(self._fault, throttle_duration_sec=5.0)

    # -- what else there is to know --------------------------------------------------------------------------------
    def _on_chunk(self, message: ActionChunk) -> None:
        # The policy publishes a chunk before its trace, so the task is known when the first score is due.
        self._engine.instruct(str(message.key.episode_id), str(message.instruction))
        try:
            self._story.chunk(Chunk.from_message(message))
        except InputError as error:
            self._complain(error)

    def _on_state(self, message: SupervisorState) -> None:
        name = STATE_NAMES.get(message.state, str(message.state))
        self._story.state(name, message.text, message.takeover_requested)
        if message.intervention and message.episode_id == self._engine.episode_id:
            self._engine.intervened()

    def _on_pose(self, message: PoseStamped) -> None:
        p = message.pose.position
        self._story.position = np.array([p.x, p.y, p.z])

    # -- for people ------------------------------------------------------------------------------------------------
    def _mark(self) -> None:
        if self._markers.get_subscription_count() == 0:
            return
        message = MarkerArray()
        for number, spec in enumerate(self._story.markers()):
            marker = spec.fill(Marker(id=number), Point, ColorRGBA)
            marker.header.frame_id = self._story.frame_id
            marker.lifetime = Duration(seconds=LIFETIME).to_msg()
            message.markers.append(marker)
        self._markers.publish(message)

    def _paint(self) -> None:
        if not self._active or self._overlays.get_subscription_count() == 0:
            return
        images, view = dict(self._images), self._story.view({}, CAMERAS)
        self._painter.offer(lambda: self._show(images, view))

    def _show(self, images: Mapping[str, bytes], view: View) -> None:
        """Draw and publish; on the painter's thread."""
        seen = {}
        for name, data in images.items():
            try:
                seen[name] = decode(deserialize_message(data, Image), name)
            except InputError as error:
                self._complain(error)
        picture = draw(replace(view, images=seen))
        height, width = picture.shape[:2]
        message = Image(height=height, width=width, step=3 * width, encoding="rgb8")
        message.data = array.array("B", picture.tobytes())
        message.header.stamp = self.get_clock().now().to_msg()
        self._overlays.publish(message)

    def _announce(self) -> None:
        if not self._active:
            return
        message = MonitorInfo(run_id=np.frombuffer(self._run_id, np.uint8), **self._announcement)
        message.last_score_age = -1.0 if self._last is None else time.monotonic() - self._last[1]
        message.header.stamp = self.get_clock().now().to_msg()
        self._infos.publish(message)

    def _diagnose(self) -> None:
        values, level, text = {}, DiagnosticStatus.OK, "no score yet" if self._active else "inactive"
        if self._last is not None:
            score = self._last[0]
            values = {"nonconformity": score.nonconformity, "threshold": score.threshold, "latency": score.latency}
            level = DiagnosticStatus.OK if score.passes else DiagnosticStatus.WARN
            text = ("passes" if score.passes else "alarm") + (f"; {score.why_not}" if score.why_not else "")
        if self._fault:
            level, text, self._fault = DiagnosticStatus.ERROR, self._fault, ""
        pairs = [KeyValue(key=name, value=f"{value:.6g}") for name, value in values.items()]
        status = DiagnosticStatus(level=level, name=self.get_fully_qualified_name(), message=text, values=pairs)
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def destroy_node(self) -> None:
        """Nothing is drawn on a node that is gone."""
        self._painter.close()
        super().destroy_node()

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
        node = MonitorNode()
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
