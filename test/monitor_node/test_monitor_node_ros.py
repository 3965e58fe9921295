"""The monitor node as a process, over DDS."""

from __future__ import annotations

import math
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_uq.bundle import Bundle
from vla_uq.contracts import Chunk, Key, Score, Space, Trace

pytestmark = pytest.mark.ros


class Policy:
    """Publishes traces and chunks, and keeps what the monitor says."""

    def __init__(self, ros: Any) -> None:
        from geometry_msgs.msg import PoseStamped
        from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
        from sensor_msgs.msg import Image
        from vla_monitor.msg import ActionChunk, FailureScore, MonitorInfo, PolicyTrace, SupervisorState

        self.ros, node, latest = ros, ros.node, QoSProfile(depth=1)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.scores: list[Any] = []
        self.infos: list[Any] = []
        self.traces = node.create_publisher(PolicyTrace, "policy_node/trace", latest)
        self.chunks = node.create_publisher(ActionChunk, "policy_node/chunk", latest)
        self.state = node.create_publisher(SupervisorState, "supervisor_node/state", latched)
        self.pose = node.create_publisher(PoseStamped, "current_pose", qos_profile_sensor_data)
        self.camera = node.create_publisher(Image, "wrist/image_raw", qos_profile_sensor_data)
        node.create_subscription(FailureScore, "monitor_node/score", self.scores.append, latest)
        node.create_subscription(MonitorInfo, "monitor_node/info", self.infos.append, latched)

    def ready(self) -> None:
        publishers = (self.traces, self.chunks, self.state, self.pose, self.camera)
        self.ros.spin_until(lambda: self.infos, 20.0, "the monitor's announcement")
        self.ros.spin_until(lambda: all(p.get_subscription_count() for p in publishers), 20.0, "its subscriptions")
        self.ros.spin_until(lambda: self.ros.node.count_publishers("monitor_node/score"), 20.0, "its scores")

    def score(self, trace: Trace) -> Score:
        """Publish a trace and wait for its score."""
        from vla_monitor.msg import PolicyTrace, Tensor

        self.scores.clear()
        self.traces.publish(trace.fill(PolicyTrace(), Tensor))
        self.ros.spin_until(lambda: self.scores, 10.0, f"a score of {trace.key}")
        return Score.from_message(self.scores[0])


@pytest.fixture
def policy(ros: Any, spawn: Any, bundle: Bundle, tmp_path: Path) -> Policy:
    path = tmp_path / "bundle.safetensors"
    bundle.save(path)
    spawn("monitor_node.node", params={"bundle": str(path)})
    policy = Policy(ros)
    policy.ready()
    return policy


def test_scores_are_the_engines_and_the_heartbeat_tells_their_age(policy: Policy, bundle: Bundle, trace: Any) -> None:
    from monitor_node.engine import ScoringEngine

    info = policy.infos[-1]
    assert (info.policy_fingerprint, info.bundle_digest) == (bundle.policy.fingerprint, bundle.digest)
    assert list(info.detectors) == list(bundle.detectors)
    assert (info.space, info.horizon, info.dim, info.execute_steps) == (int(Space.EE_DELTA), 4, 6, 3)
    assert info.n_calibration == bundle.n_calibration == 42
    assert (info.alpha, info.realised_bound) == (pytest.approx(0.1), pytest.approx(bundle.realised_bound))
    assert info.last_score_age == -1.0
    engine = ScoringEngine(bundle)
    for step in range(6):
        expected, got = engine.score(trace(step)), policy.score(trace(step))
        assert (got.key, got.chunk_digest, got.alarm) == (expected.key, expected.chunk_digest, expected.alarm)
        assert got.nonconformity == pytest.approx(expected.nonconformity, rel=1e-6)
        assert got.threshold == pytest.approx(expected.threshold, rel=1e-6)
        assert 0.0 < got.latency < 0.1
    policy.infos.clear()
    policy.ros.spin_until(lambda: policy.infos, 5.0, "the next heartbeat")
    assert 0.0 <= policy.infos[-1].last_score_age < 1.0


def test_a_trace_that_cannot_be_scored_is_an_alarm(policy: Policy, trace: Any) -> None:
    assert policy.score(trace(0, size=0.1, features=np.zeros(5, np.float32))).passes
    nan = policy.score(trace(1, features=np.full(5, np.nan, np.float32)))
    assert math.isnan(nan.nonconformity)
    assert nan.alarm
    # A tensor that does not fill its shape: it still gets a score that passes nowhere.
    from vla_monitor.msg import PolicyTrace, Tensor

    message = trace(2).fill(PolicyTrace(), Tensor)
    message.tensors[0].shape = [99]
    policy.scores.clear()
    policy.traces.publish(message)
    policy.ros.spin_until(lambda: policy.scores, 10.0, "a score of the malformed trace")
    broken = Score.from_message(policy.scores[0])
    assert broken.key == Key.from_message(message.key)
    assert math.isnan(broken.nonconformity)
    assert broken.alarm


def test_an_intervention_is_learnt_from_the_supervisor(policy: Policy, trace: Any) -> None:
    from vla_monitor.msg import SupervisorState

    assert policy.score(trace(0)).valid_guarantee
    policy.state.publish(SupervisorState(episode_id="another", intervention=True))
    time.sleep(0.2)
    assert policy.score(trace(1)).valid_guarantee
    policy.state.publish(SupervisorState(episode_id="e", intervention=True))
    time.sleep(0.2)
    score = policy.score(trace(2))
    assert (score.valid_guarantee, "human" in score.why_not) == (False, True)


def test_markers_and_overlay_are_drawn_for_those_who_watch(policy: Policy, trace: Any) -> None:
    from geometry_msgs.msg import PoseStamped
    from sensor_msgs.msg import Image
    from visualization_msgs.msg import MarkerArray
    from vla_monitor.msg import ActionChunk

    markers: list[Any] = []
    overlays: list[Any] = []
    node = policy.ros.node
    node.create_subscription(MarkerArray, "monitor_node/markers", markers.append, 1)
    node.create_subscription(Image, "monitor_node/overlay", overlays.append, 1)
    first = policy.ros.spin_until(lambda: overlays, 20.0, "an overlay")[0]
    assert first.encoding == "rgb8"
    assert len(first.data) == first.height * first.step
    pixels = np.full(256 * 256 * 3, 200, np.uint8).tobytes()
    policy.camera.publish(Image(height=256, width=256, step=768, encoding="rgb8", data=pixels))
    policy.pose.publish(PoseStamped())
    actions = np.full((4, 6), 0.01, np.float32)

    def scored() -> Any:
        step = len(sent)
        sent.append(step)
        given = trace(step, size=0.1)
        names = ("x", "y", "z", "rx", "ry", "rz")
        chunk = Chunk(given.key, Space.EE_DELTA, names, actions, np.ones(4, np.float32), 0.05, 2, frame_id="base")
        policy.chunks.publish(chunk.fill(ActionChunk()))
        time.sleep(0.1)
        policy.score(given)
        return next((m for m in markers if len(m.markers) == 2), None)

    sent: list[int] = []
    shown = policy.ros.spin_until(scored, 10.0, "markers of a plan")
    assert {marker.ns for marker in shown.markers} == {"risk", "plan"}
    assert all(marker.header.frame_id == "base" and marker.lifetime.nanosec for marker in shown.markers)

    def bright() -> bool:
        last = np.frombuffer(overlays[-1].data, np.uint8).reshape(overlays[-1].height, -1, 3)
        return bool((last[100, -100] == 200).all())

    policy.ros.spin_until(bright, 10.0, "the wrist camera's picture on the right")


def test_the_task_is_learnt_from_the_chunk_that_comes_before_the_trace(
    ros: Any, spawn: Any, bundle_per_task: Bundle, trace: Any, tmp_path: Path
) -> None:
    from vla_monitor.msg import ActionChunk

    bundle_per_task.save(tmp_path / "bundle.safetensors")
    spawn("monitor_node.node", params={"bundle": str(tmp_path / "bundle.safetensors")})
    policy = Policy(ros)
    policy.ready()
    assert policy.infos[-1].n_calibration == bundle_per_task.n_calibration == 20
    names, actions = ("x", "y", "z", "rx", "ry", "rz"), np.full((4, 6), 0.01, np.float32)
    for sequence, task in enumerate(("stack", "shake", "rare", "stack", "shake") * 4):
        given = trace(0, episode=str(sequence), sequence=sequence)
        chunk = Chunk(given.key, Space.EE_DELTA, names, actions, np.empty(0), 0.05, 3, instruction=task)
        policy.chunks.publish(chunk.fill(ActionChunk()))
        score = policy.score(given)
        band, why_not = bundle_per_task.decide(task)
        assert score.threshold == pytest.approx(band.threshold(), rel=1e-6)
        assert score.why_not == why_not


@pytest.mark.parametrize("content", [None, b"no bundle"])
def test_a_bad_bundle_leaves_the_node_unconfigured(ros: Any, spawn: Any, tmp_path: Path, content: bytes | None) -> None:
    from lifecycle_msgs.msg import State
    from lifecycle_msgs.srv import GetState

    path = tmp_path / "broken.safetensors"
    if content is not None:
        path.write_bytes(content)
    process = spawn("monitor_node.node", params={"bundle": str(path)})
    state = ros.call(GetState, "monitor_node/get_state", GetState.Request(), 20.0).current_state
    assert state.id == State.PRIMARY_STATE_UNCONFIGURED
    ros.spin_until(lambda: "broken.safetensors" in process.text(), 10.0, "an error that names the file")
    assert "Traceback" not in process.text()
    assert process.stop(signal.SIGTERM) == 0


def test_it_can_be_managed(ros: Any, spawn: Any, bundle: Bundle, trace: Any, tmp_path: Path) -> None:
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState

    def change(transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(ros.call(ChangeState, "monitor_node/change_state", request, 20.0).success)

    bundle.save(tmp_path / "bundle.safetensors")
    spawn("monitor_node.node", params={"bundle": str(tmp_path / "bundle.safetensors"), "autostart": False})
    assert change(Transition.TRANSITION_CONFIGURE)
    assert change(Transition.TRANSITION_ACTIVATE)
    assert change(Transition.TRANSITION_DEACTIVATE)
    assert change(Transition.TRANSITION_CLEANUP)
    assert change(Transition.TRANSITION_CONFIGURE)
    assert change(Transition.TRANSITION_ACTIVATE)
    policy = Policy(ros)
    policy.ready()
    assert policy.score(trace(0)).key == trace(0).key
