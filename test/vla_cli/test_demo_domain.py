"""What the demo's processes hear of each other when one of them is stopped or killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
STOPPED = 6
"""Subscribers: each is stopped while it reads a picture, or is not."""
PUBLISHER = """
import rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node("camera")
publisher = node.create_publisher(Image, "image", qos_profile_sensor_data)
picture = Image(data=bytes(256 * 256 * 3))
node.create_timer(0.05, lambda: publisher.publish(picture))
rclpy.spin(node)
"""
SUBSCRIBER = """
import pathlib, sys, rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
rclpy.init()
node, note, seen = rclpy.create_node(sys.argv[1]), pathlib.Path(sys.argv[2]), 0
def heard(_):
    global seen
    seen += 1
    note.write_text(str(seen))
node.create_subscription(Image, "image", heard, qos_profile_sensor_data)
rclpy.spin(node)
"""


@pytest.mark.drill
def test_a_stopped_subscriber_starves_nobody_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With shared memory it kept the camera's 512 kB for ever, and the policy saw nothing any more."""
    from vla_cli.demo.domain import environment_of, private_domain

    def start(code: str, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", code, *words])

    def count() -> int:
        note = tmp_path / "stays"
        return int(note.read_text() or 0) if note.exists() else 0

    def wait_for(more: int, patience: float = 20.0) -> None:
        begun, deadline = count(), time.monotonic() + patience
        while count() < begun + more:
            assert time.monotonic() < deadline, f"{count() - begun} pictures in {patience} s"
            time.sleep(0.05)

    with private_domain() as domain:
        for name, value in environment_of(domain).items():
            monkeypatch.setenv(name, value)
        stays, camera = start(SUBSCRIBER, "stays", str(tmp_path / "stays")), start(PUBLISHER)
        started = [stays, camera]
        try:
            wait_for(3)
            others = [tmp_path / f"stopped_{number}" for number in range(STOPPED)]
            victims = [start(SUBSCRIBER, note.name, str(note)) for note in others]
            started += victims
            while not all(note.exists() for note in others):
                wait_for(1)
            for victim in victims:
                time.sleep(0.017)  # not always at the same moment of a picture's way
                victim.send_signal(signal.SIGSTOP)
            wait_for(20)
            for victim in victims:
                victim.kill()
            wait_for(20)
        finally:
            for process in started:
                process.kill()
                process.wait()
