"""The policy node with the cameras of a real robot, over DDS: JPEG images, two topics of joint states, lost frames."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

pytestmark = pytest.mark.ros
ROOT = Path(__file__).parents[2]
ARM, HAND = "franka/joint_states", "franka_gripper/joint_states"
SIZE = (48, 64)


class Robot:
    """Publishes what a Franka and its two cameras do; every tenth frame of the wrist's gets lost."""

    def __init__(self, ros: Any) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from geometry_msgs.msg import PoseStamped
        from rclpy.qos import qos_profile_sensor_data as sensor
        from sensor_msgs.msg import CompressedImage, JointState
        from vla_monitor.msg import ActionChunk, PolicyInfo

        self.ros, node = ros, ros.node
        self.joints = {topic: node.create_publisher(JointState, topic, sensor) for topic in (ARM, HAND)}
        self.pose = node.create_publisher(PoseStamped, "current_pose", sensor)
        self.images = {
            name: node.create_publisher(CompressedImage, f"{name}/image_raw/compressed", sensor)
            for name in ("agentview", "wrist")
        }
        self.heard: dict[str, list[Any]] = {"chunk": [], "info": [], "said": []}
        node.create_subscription(ActionChunk, "policy_node/chunk", self.heard["chunk"].append, 10)
        node.create_subscription(PolicyInfo, "policy_node/info", self.heard["info"].append, 1)
        node.create_subscription(DiagnosticArray, "diagnostics", self._diagnosed, 10)
        self.size, self.step, self.due = SIZE, 0, 0.0

    def _diagnosed(self, message: Any) -> None:
        self.heard["said"].append({status.name: status for status in message.status})

    def observe(self) -> None:
        from geometry_msgs.msg import PoseStamped
        from sensor_msgs.msg import CompressedImage, JointState

        self.step += 1
        hand = JointState(name=["fr3_finger_joint1", "fr3_finger_joint2"], position=[0.04, 0.04])
        pose = PoseStamped()
        pose.pose.orientation.w = 1.0
        picture = np.full((*self.size, 3), self.step % 256, np.uint8)
        data = cv2.imencode(".jpg", picture)[1].tobytes()
        image = CompressedImage(format="rgb8; jpeg compressed bgr8", data=data)
        arm = JointState(name=["fr3_joint1"], position=[0.1])
        out = [(arm, self.joints[ARM]), (hand, self.joints[HAND]), (pose, self.pose), (image, self.images["agentview"])]
        if self.step % 10:
            out.append((image, self.images["wrist"]))
        seconds, frames = divmod(self.step, 30)
        for message, publisher in out:
            message.header.stamp.sec, message.header.stamp.nanosec = seconds, round(frames / 30 * 1e9)
            publisher.publish(message)

    def run_until(self, predicate: Any, what: str) -> Any:
        def tick() -> Any:
            if time.monotonic() >= self.due:
                self.due = time.monotonic() + 1 / 30
                self.observe()
            return predicate()

        return self.ros.spin_until(tick, 20.0, what)


def test_jpeg_in_a_chunk_out_and_lost_frames_in_diagnostics(
    ros: Any, spawn: Any, weights: Path, tmp_path: Path
) -> None:
    from vla_monitor.srv import ResetPolicy

    content = yaml.safe_load((ROOT / "config" / "observations" / "droid.yaml").read_text(encoding="utf-8"))
    for camera in content["cameras"].values():
        camera["size"] = list(SIZE)
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    robot = Robot(ros)
    given = {"weights": str(weights), "observation": str(tmp_path / "small.yaml")}
    process = spawn("policy_node.node", params=given)
    robot.run_until(lambda: robot.heard["info"], "the policy's announcement")
    request = ResetPolicy.Request(episode_id="one", instruction="put the red cube in the basket")
    assert ros.call(ResetPolicy, "policy_node/reset_policy", request, 20.0).ok
    robot.run_until(lambda: len(robot.heard["chunk"]) >= 2, "two chunks")

    def lossy() -> Any:
        found = robot.heard["said"][-1].get("/policy_node: camera wrist") if robot.heard["said"] else None
        return found if found is not None and "loses frames" in found.message else None

    wrist = robot.run_until(lossy, "the diagnostics of lost frames")
    assert wrist.level == b"\x01" and "Hz of 30" in wrist.message
    assert robot.heard["said"][-1]["/policy_node: camera agentview"].level in (b"\x00", b"\x01")

    robot.size = (24, 32)
    robot.run_until(lambda: "image of wrist: wrong size; expected 64x48; found 32x24" in process.text(), "a clear line")
    robot.heard["chunk"].clear()
    stop = time.monotonic() + 1.0
    robot.run_until(lambda: time.monotonic() > stop, "time to pass")
    assert len(robot.heard["chunk"]) <= 1, "what came before the wrong images may still be acted on, nothing else"
    assert "Traceback" not in process.text()
    assert process.stop() == 0


def test_an_observation_that_is_none_leaves_the_node_unconfigured(ros: Any, spawn: Any) -> None:
    process = spawn("policy_node.node", params={"observation": "aloha"})
    ros.spin_until(lambda: "no such observation" in process.text(), 20.0, "an error that names it")
    assert "droid" in process.text() and "Traceback" not in process.text()
    assert process.stop() == 0
