"""The policy node as a process, over DDS, with a robot that stands still."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.ros


class Robot:
    """Publishes the observations of a simulated arm and keeps what the policy says."""

    def __init__(self, ros: Any) -> None:
        from geometry_msgs.msg import PoseStamped
        from rclpy.qos import QoSProfile, qos_profile_sensor_data
        from sensor_msgs.msg import Image, JointState
        from vla_monitor.msg import ActionChunk, PolicyInfo, PolicyTrace

        self.ros, self.heard = ros, []
        node, latest = ros.node, QoSProfile(depth=1)
        self.joints = node.create_publisher(JointState, "joint_states", qos_profile_sensor_data)
        self.pose = node.create_publisher(PoseStamped, "current_pose", qos_profile_sensor_data)
        self.images = {
            name: node.create_publisher(Image, f"{name}/image_raw", qos_profile_sensor_data)
            for name in ("agentview", "wrist")
        }
        for kind, topic in ((ActionChunk, "chunk"), (PolicyTrace, "trace"), (PolicyInfo, "info")):
            node.create_subscription(kind, f"policy_node/{topic}", self.heard.append, latest)
        self.pixels = np.random.default_rng(0).integers(0, 256, 256 * 256 * 3, dtype=np.uint8).tobytes()
        self.step = 0

    def of(self, kind: str) -> list[Any]:
        return [message for message in self.heard if type(message).__name__ == kind]

    def observe(self, repeat: bool = False) -> None:
        """Publish the observation of the next control step, or the last one again."""
        from geometry_msgs.msg import PoseStamped
        from sensor_msgs.msg import Image, JointState

        self.step += not repeat
        seconds, steps = divmod(self.step, 20)
        stamp = {"sec": seconds, "nanosec": steps * 50_000_000}
        joints = JointState(name=["a", "fr3_finger_joint1", "fr3_finger_joint2"], position=[0.0, 0.04, 0.04])
        pose = PoseStamped()
        pose.pose.orientation.w = 1.0
        for message, publisher in ((joints, self.joints), (pose, self.pose)):
            _set(message.header.stamp, stamp)
            publisher.publish(message)
        for publisher in self.images.values():
            image = Image(height=256, width=256, step=768, encoding="rgb8", data=self.pixels)
            _set(image.header.stamp, stamp)
            publisher.publish(image)

    def run_until(self, predicate: Callable[[], Any], what: str, period: float = 0.05, timeout: float = 20.0) -> Any:
        """Publish observations at a rate until something is true."""
        due = [0.0]

        def tick() -> Any:
            if time.monotonic() >= due[0]:
                due[0] = time.monotonic() + period
                self.observe()
            return predicate()

        return self.ros.spin_until(tick, timeout, what)

    def reset(self, episode: str) -> Any:
        from vla_monitor.srv import ResetPolicy

        request = ResetPolicy.Request(episode_id=episode, instruction="put the red cube in the basket")
        return self.ros.call(ResetPolicy, "policy_node/reset_policy", request, 20.0)


def _set(message: Any, fields: dict[str, int]) -> None:
    for name, value in fields.items():
        setattr(message, name, value)


@pytest.fixture
def robot(ros: Any) -> Robot:
    return Robot(ros)


def test_chunks_go_first_and_keys_count(robot: Robot, spawn: Any, weights: Path) -> None:
    from vla_uq.contracts import Chunk, Trace

    process = spawn("policy_node.node", params={"weights": str(weights), "seed": 5})
    robot.run_until(lambda: robot.of("PolicyInfo"), "the policy's announcement")
    assert robot.of("ActionChunk") == [], "nothing is inferred before a reset"
    info = robot.of("PolicyInfo")[-1]
    assert (info.horizon, info.dim, info.execute_steps, info.members) == (16, 6, 6, 2)
    assert info.last_inference_age == -1.0

    answer = robot.reset("one")
    assert answer.ok and answer.first_sequence == 0
    robot.run_until(lambda: len(robot.of("PolicyTrace")) >= 3, "three inferences")
    kinds = [type(m).__name__ for m in robot.heard if type(m).__name__ != "PolicyInfo"]
    assert kinds[:2] == ["ActionChunk", "PolicyTrace"], "the actions leave before their introspection"
    chunks = [Chunk.from_message(m) for m in robot.of("ActionChunk")]
    traces = [Trace.from_message(m) for m in robot.of("PolicyTrace")]
    assert [c.key.step for c in chunks[:3]] == [0, 1, 2]
    assert chunks[0].key.run_id == bytes(bytearray(answer.run_id))
    for chunk, trace in zip(chunks, traces, strict=False):
        assert (chunk.key, chunk.digest) == (trace.key, trace.chunk_digest)
        assert chunk.claimed_digest == chunk.digest
        assert trace.fingerprint == info.fingerprint
        assert 0.0 < chunk.observation_age < 0.3
        assert trace.tensors["velocities"].shape == (1, 2, 1, 9, 16, 7)
    stamps = [sec + nanosec * 1e-9 for sec, nanosec in (c.observation_stamp for c in chunks[:3])]
    np.testing.assert_allclose(np.diff(stamps), 0.3, atol=0.11)

    again = robot.reset("two")
    assert again.first_sequence >= len(traces)
    robot.heard.clear()
    chunk = Chunk.from_message(robot.run_until(lambda: robot.of("ActionChunk"), "the next episode")[0])
    assert (chunk.key.episode_id, chunk.key.step, chunk.key.sequence) == ("two", 0, again.first_sequence)
    np.testing.assert_array_equal(chunk.actions, chunks[0].actions)

    assert robot.reset("").ok
    robot.heard.clear()
    stop = time.monotonic() + 0.7
    robot.run_until(lambda: time.monotonic() > stop, "time to pass")
    assert robot.of("ActionChunk") == [], "an empty episode ends inferring"
    assert process.stop(signal.SIGTERM) == 0


def test_lockstep_infers_once_for_six_observations(robot: Robot, spawn: Any, weights: Path) -> None:
    spawn("policy_node.node", params={"weights": str(weights), "seed": 5, "lockstep": True})
    robot.run_until(lambda: robot.of("PolicyInfo"), "the policy's announcement")
    first = robot.step
    robot.reset("one")
    # What came before the reset is forgotten; the waiting robot says it again, more than once.
    for _ in range(3):
        robot.observe(repeat=True)
        time.sleep(0.02)
    robot.ros.spin_until(lambda: robot.of("PolicyTrace"), 10.0, "a chunk on the waiting observation")
    for count in (1, 2, 3):
        assert len(robot.of("ActionChunk")) == count
        for _ in range(6):
            robot.observe()
            time.sleep(0.02)
        robot.ros.spin_until(lambda n=count: len(robot.of("PolicyTrace")) > n, 10.0, "the next chunk")
    steps = [
        round((m.observation_stamp.sec + m.observation_stamp.nanosec * 1e-9) / 0.05) for m in robot.of("ActionChunk")
    ]
    assert steps == [first, first + 6, first + 12, first + 18]


@pytest.mark.parametrize(
    ("kind", "asked", "shapes"),
    [
        ("tokens", {}, {"token_logprobs": (56,), "token_entropies": (56,)}),
        ("onnx", {"draws": 3, "last_layer": True}, {"samples": (2, 3, 16, 7), "last_layer": (9, 1, 160)}),
    ],
)
def test_the_weights_name_the_back_end_and_parameters_what_is_recorded(
    robot: Robot,
    spawn: Any,
    weights: Path,
    token_policy: tuple[Path, Any],
    kind: str,
    asked: dict[str, Any],
    shapes: dict[str, tuple[int, ...]],
) -> None:
    from vla_uq.contracts import Trace

    folder = token_policy[0] if kind == "tokens" else weights
    spawn("policy_node.node", params={"weights": str(folder), "seed": 5, **asked})
    info = robot.run_until(lambda: robot.of("PolicyInfo"), "the policy's announcement")[-1]
    assert info.back_end == kind and set(shapes) <= set(info.tensors)
    assert robot.reset("one").ok
    trace = Trace.from_message(robot.run_until(lambda: robot.of("PolicyTrace"), "a trace")[0])
    assert {name: trace.tensors[name].shape for name in shapes} == shapes


def test_an_option_that_the_back_end_lacks_leaves_the_node_unconfigured(
    ros: Any, spawn: Any, token_policy: tuple[Path, Any]
) -> None:
    process = spawn("policy_node.node", params={"weights": str(token_policy[0]), "draws": 2})
    ros.spin_until(lambda: "no such option" in process.text(), 20.0, "an error that names the option")
    assert "draws" in process.text() and "Traceback" not in process.text()
    assert process.stop() == 0


def test_bad_weights_leave_the_node_unconfigured(ros: Any, spawn: Any, tmp_path: Path) -> None:
    from lifecycle_msgs.msg import State
    from lifecycle_msgs.srv import GetState

    process = spawn("policy_node.node", params={"weights": str(tmp_path / "nowhere")})
    state = ros.call(GetState, "policy_node/get_state", GetState.Request(), 20.0).current_state
    assert state.id == State.PRIMARY_STATE_UNCONFIGURED
    ros.spin_until(lambda: "nowhere" in process.text(), 10.0, "an error that names the folder")
    assert "manifest.json" in process.text()
    assert "Traceback" not in process.text()
    assert process.stop() == 0


def test_it_can_be_managed(robot: Robot, spawn: Any, weights: Path) -> None:
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState
    from vla_monitor.srv import ResetPolicy

    def change(transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(robot.ros.call(ChangeState, "policy_node/change_state", request, 20.0).success)

    spawn("policy_node.node", params={"weights": str(weights), "autostart": False})
    assert change(Transition.TRANSITION_CONFIGURE)
    early = robot.ros.call(ResetPolicy, "policy_node/reset_policy", ResetPolicy.Request(episode_id="e"))
    assert (early.ok, early.message) == (False, "policy_node is not active")
    assert change(Transition.TRANSITION_ACTIVATE)
    assert change(Transition.TRANSITION_DEACTIVATE)
    assert change(Transition.TRANSITION_CLEANUP)
    assert change(Transition.TRANSITION_CONFIGURE)
    assert change(Transition.TRANSITION_ACTIVATE)
    assert robot.reset("e").ok
    robot.run_until(lambda: robot.of("PolicyTrace"), "an inference after all that")


@pytest.mark.parametrize("wrong", [{"seed": "seven"}, {"max_latency": -1.0}, {"paths": 0}, {"draws": 0}])
def test_a_wrong_parameter_is_one_line_and_exit_code_2(spawn: Any, wrong: dict[str, Any]) -> None:
    process = spawn("policy_node.node", params=wrong)
    assert process.process.wait(20.0) == 2
    assert next(iter(wrong)) in process.text()
    assert "Traceback" not in process.text()


def test_a_back_end_that_fails_hangs_or_is_late_never_silences_the_node(
    robot: Robot, spawn: Any, scripted: Callable[..., Path]
) -> None:
    """Announcements and diagnostics go on while an inference runs; what it says too late never leaves."""
    from diagnostic_msgs.msg import DiagnosticArray

    said: list[Any] = []
    robot.ros.node.create_subscription(DiagnosticArray, "diagnostics", lambda m: said.append(m.status[0]), 10)
    weights = scripted(faults={"0": "raise", "1": "late 1.2", "3": "hang"})
    process = spawn("policy_node.node", params={"weights": str(weights), "max_latency": 0.5})
    robot.run_until(lambda: robot.of("PolicyInfo"), "the policy's announcement")
    assert robot.reset("one").ok
    started = time.monotonic()
    robot.run_until(lambda: "dropped" in process.text(), "the late answer")
    announced = len(robot.of("PolicyInfo")) / (time.monotonic() - started)
    assert "told to raise" in process.text() and "Traceback" not in process.text()
    robot.run_until(lambda: robot.of("PolicyTrace"), "the inference that succeeds")
    assert [m.key.step for m in robot.of("ActionChunk")] == [0]
    said.clear()  # the late inference looked as if it hung
    robot.run_until(lambda: any("not answered" in status.message for status in said), "the diagnostics of a hang")
    hung = next(status for status in said if "not answered" in status.message)
    assert hung.level == b"\x02" and {v.key: v.value for v in hung.values}["nodes"] == "the last 9 of 9"
    assert announced > 5.0, "heartbeats at 10 Hz, whatever the back end does"
    robot.run_until(lambda: robot.of("PolicyInfo")[-1].last_inference_age > 0.5, "a heartbeat that tells it")
    assert len(robot.of("ActionChunk")) == 1
    answer = robot.reset("two")
    assert not answer.ok and "not answered" in answer.message
    assert process.stop() == 0
