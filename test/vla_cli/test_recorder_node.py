"""The recorder as a process: what was published is in the bag, in the order of cause and effect, images as JPEG."""

from __future__ import annotations

import array
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.ros
DISCOVERY = 3.0
"""Seconds until a reader that we know also knows us (measured: up to 2.6 s); it drops what comes before."""


def test_a_recording_holds_what_was_published(ros: Any, spawn: Any, tmp_path: Path) -> None:
    from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
    from sensor_msgs.msg import Image, JointState
    from vla_monitor.msg import FailureScore, SupervisorState

    from vla_cli.bag.reader import read

    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    advertise = ros.node.create_publisher
    state = advertise(SupervisorState, "supervisor_node/state", latched)
    score = advertise(FailureScore, "monitor_node/score", 10)  # as the monitor does
    joints = advertise(JointState, "joint_states", qos_profile_sensor_data)
    image = advertise(Image, "wrist/image_raw", qos_profile_sensor_data)
    state.publish(SupervisorState(sequence=41))  # latched: nobody listens yet
    recorder = spawn("vla_cli.bag.node", params={"bag": str(tmp_path / "bag")})
    ros.spin_until(
        lambda: all(p.get_subscription_count() for p in (state, score, joints, image)), 20.0, "the recorder to listen"
    )
    known = time.monotonic() + DISCOVERY
    ros.spin_until(lambda: time.monotonic() > known, 2 * DISCOVERY)
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[..., 0] = 200  # red
    for number in range(60):
        score.publish(FailureScore(nonconformity=float(number)))
        joints.publish(JointState(position=[float(number)]))
        if number % 3 == 0:
            message = Image(height=32, width=32, step=96, encoding="rgb8", data=array.array("B", picture.tobytes()))
            image.publish(message)
        ros.spin_until(lambda: True)
        ros.executor.spin_once(timeout_sec=0.02)
    assert recorder.stop(signal.SIGINT) == 0

    recorded = read(tmp_path / "bag")
    count = Counter(one.topic for one in recorded)
    assert count["/monitor_node/score"] == count["/joint_states"] == 60
    assert count["/supervisor_node/state"] == 1
    assert 5 <= count["/wrist/image_raw/compressed"] <= 15  # 20 pictures in 1.2 s, kept at 10 Hz
    assert "/wrist/image_raw" not in count
    numbers = [
        one.message.nonconformity if one.topic.endswith("score") else one.message.position[0]
        for one in recorded
        if one.topic in ("/monitor_node/score", "/joint_states")
    ]
    assert numbers == sorted(numbers)
    jpeg = next(one.message for one in recorded if one.topic.endswith("compressed"))
    blue, _, red = cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR)[16, 16]
    assert red > 150 and blue < 50


def test_a_recorder_without_a_folder_says_so(spawn: Any, wait_until: Any) -> None:
    recorder = spawn("vla_cli.bag.node")
    assert wait_until(lambda: recorder.process.poll() is not None, 20.0, "the recorder to refuse")
    assert recorder.process.returncode == 2
    assert "no folder for the bag" in recorder.text()
