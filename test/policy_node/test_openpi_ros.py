"""The policy node before a policy server that misbehaves: it says so, and nothing of it leaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("msgpack")
pytest.importorskip("websockets")

from openpi_servers import Faulty, Hosted

from policy_node.backends.openpi_settings import Settings

pytestmark = pytest.mark.ros

FAULTS = {
    "hang": "no answer in time, connection dropped",
    "die": "the server ended the connection",
    "late": "no answer in time, connection dropped",
    "garbage": "not a msgpack message",
    "traceback": "the server says: KeyError: 'prompt'",
    "huge": "an answer of more than 64 MiB is not read",
    "shape": "actions have a wrong shape",
    "nan": "actions are not finite",
}


class Robot:
    """Stands still, publishes what it sees, and hears what the policy node says."""

    def __init__(self, ros: Any) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from geometry_msgs.msg import PoseStamped
        from rclpy.qos import qos_profile_sensor_data
        from sensor_msgs.msg import Image, JointState
        from vla_monitor.msg import ActionChunk, PolicyInfo, PolicyTrace

        self._ros, self.heard = ros, list[Any]()
        joints = JointState(name=["fr3_finger_joint1", "fr3_finger_joint2"], position=[0.04, 0.04])
        pose = PoseStamped()
        pose.pose.orientation.w = 1.0
        image = Image(height=256, width=256, step=768, encoding="rgb8", data=np.zeros(256 * 768, np.uint8).tobytes())
        topics = {"joint_states": joints, "current_pose": pose, "agentview/image_raw": image, "wrist/image_raw": image}
        publish = ros.node.create_publisher
        self._out = [(publish(type(m), topic, qos_profile_sensor_data), m) for topic, m in topics.items()]
        hears = (ActionChunk, "policy_node/chunk"), (PolicyTrace, "policy_node/trace"), (PolicyInfo, "policy_node/info")
        for kind, topic in (*hears, (DiagnosticArray, "diagnostics")):
            ros.node.create_subscription(kind, topic, self.heard.append, 10)
        self._tick = 0

    def of(self, kind: str) -> list[Any]:
        return [message for message in self.heard if type(message).__name__ == kind]

    def diagnosis(self) -> Any:
        arrays = self.of("DiagnosticArray")
        return arrays[-1].status[0] if arrays else None

    def until(self, predicate: Any, what: str) -> Any:
        """Publish what it sees until something is true."""

        def tick() -> Any:
            self._tick += 1
            stamp = self._ros.node.get_clock().now().to_msg()
            for publisher, message in self._out:
                message.header.stamp = stamp
                publisher.publish(message)
            return predicate()

        return self._ros.spin_until(tick, 20.0, what)

    def begin(self, episode: str) -> None:
        from vla_monitor.srv import ResetPolicy

        request = ResetPolicy.Request(episode_id=episode, instruction="put the red cube in the basket")
        assert self._ros.call(ResetPolicy, "policy_node/reset_policy", request).ok
        self.heard.clear()


@pytest.fixture
def server() -> Iterator[Faulty]:
    server = Faulty()
    with Hosted(server) as hosted:
        server.url = hosted.url  # type: ignore[attr-defined]
        yield server


@pytest.mark.parametrize("faults", [["hang", "huge"], pytest.param(list(FAULTS), marks=pytest.mark.drill)])
def test_the_node_reports_every_fault_and_publishes_nothing(
    ros: Any, spawn: Any, server: Any, tmp_path: Path, faults: list[str]
) -> None:
    from diagnostic_msgs.msg import DiagnosticStatus

    Settings(url=server.url, preset="libero", timeout=0.2).save(tmp_path)
    robot = Robot(ros)
    spawn("policy_node.node", params={"weights": str(tmp_path)})
    info = robot.until(lambda: robot.of("PolicyInfo"), "the policy's announcement")[-1]
    assert (info.back_end, info.horizon, info.dim) == ("openpi", 10, 6)
    assert list(info.tensors) == ["image_digest", "position"], "a stock server shows nothing of itself"
    for fault in faults:
        server.fault, told = fault, FAULTS[fault]
        robot.begin(f"{fault} 1")
        status = robot.until(lambda told=told: (d := robot.diagnosis()) and told in d.message and d, f"{fault}: {told}")
        assert status.level == DiagnosticStatus.WARN
        values = {value.key: value.value for value in status.values}
        assert values["introspection"].startswith("none: a stock server"), values
        assert robot.of("ActionChunk") == [] and robot.of("PolicyTrace") == [], fault
        server.fault = ""
        chunk = robot.until(lambda: robot.of("ActionChunk"), f"a chunk after {fault}")[0]
        assert chunk.key.step == 0
        trace = robot.until(lambda: robot.of("PolicyTrace"), "its trace")[0]
        assert [tensor.name for tensor in trace.tensors] == ["image_digest", "position"]
