"""What the real ``ros2 launch`` starts for cameras: stand-ins in the drivers' places note how they were called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from ros2_launch import ROOT, Launcher, Note

pytestmark = pytest.mark.drill
SERIALS = 'serials:={agentview: "0042", wrist: "831612073525"}'


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    made = Launcher(tmp_path / "prefix", 0)
    made.prepare(real=False)
    yield made
    made.close()


def started(launcher: Launcher, wait_until: Callable[..., object], *arguments: str) -> dict[str, Note]:
    """Launch, wait for two drivers, Ctrl-C; notes by namespace."""
    launch = launcher.start("cameras.launch.py", *arguments)
    wait_until(lambda: len(launcher.notes()) >= 2 or launch.process.poll() is not None, 60, launch.text())
    assert launch.interrupt() == 0, launch.text()
    assert not launch.wait_gone()
    return {note.rules["__ns"]: note for note in launcher.notes()}


def test_realsense_cameras_on_the_topics_of_the_policy(launcher: Launcher, wait_until: Callable[..., object]) -> None:
    launcher.add_package("realsense2_camera", "realsense2_camera_node")
    found = started(launcher, wait_until, SERIALS, "namespace:=left")
    assert sorted(found) == ["/left/agentview", "/left/wrist"]
    file = yaml.safe_load((ROOT / "config" / "cameras" / "realsense.yaml").read_text(encoding="utf-8"))
    for name, serial in (("agentview", "0042"), ("wrist", "831612073525")):
        note = found[f"/left/{name}"]
        (given,) = (content for text in note.files for content in yaml.safe_load(text).values())
        assert given["ros__parameters"] == {**file["parameters"], "serial_no": serial, "camera_name": name}
        assert note.rules["~/color/image_raw"] == "image_raw"
        assert note.rules["~/color/image_raw/compressed"] == "image_raw/compressed"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((SERIALS,), "realsense2_camera: package is not installed; install ros-$ROS_DISTRO-realsense2-camera"),
        ((), "serials.agentview: serial number is missing"),
        (("cameras:=usb", SERIALS), "serials.agentview: no USB camera has this serial number; expected 0042"),
        (("cameras:=zed",), "no such camera file; expected realsense, usb, or a path"),
    ],
)
def test_what_is_missing_is_named_and_nothing_starts(launcher: Launcher, arguments: tuple[str, ...], said: str) -> None:
    launch = launcher.start("cameras.launch.py", *arguments)
    assert launch.process.wait(60) == 1
    assert said in launch.text()
    assert not launcher.notes()


def test_the_observation_reaches_the_policy(launcher: Launcher, wait_until: Callable[..., object]) -> None:
    launch = launcher.start("franka.launch.py", "observation:=droid")
    wait_until(lambda: any(note.name == "policy_node" for note in launcher.notes()), 60, "the policy node")
    assert launch.interrupt() == 0
    policy = next(note for note in launcher.notes() if note.name == "policy_node")
    assert policy.parameters["observation"] == "droid"
