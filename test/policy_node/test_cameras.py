"""Cameras by serial number, with nothing left to their own judgement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from policy_node.cameras import DRIVERS, camera_nodes
from vla_uq.errors import InputError

CONFIG = Path(__file__).parents[2] / "config" / "cameras"
TWO = '{agentview: "831612073525", wrist: "034422070213"}'


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """Two USB cameras as udev lists them, each with a second device for metadata."""
    folder = tmp_path / "by-id"
    folder.mkdir()
    for stem in ("usb-046d_HD_Pro_Webcam_C920_831612073525", "usb-Arducam_034422070213"):
        for index in (0, 1):
            (folder / f"{stem}-video-index{index}").touch()
    return folder


def test_every_driver_has_a_file() -> None:
    assert sorted(path.stem for path in CONFIG.glob("*.yaml")) == sorted(DRIVERS)


def test_realsense_by_serial_number() -> None:
    agentview, wrist = camera_nodes("realsense", TWO)
    assert (agentview.name, wrist.name) == ("agentview", "wrist")
    assert agentview.parameters["serial_no"] == "831612073525", "a text, with its leading zeros"
    assert wrist.parameters["rgb_camera.enable_auto_exposure"] is False
    assert dict(wrist.remappings) == {
        "~/color/image_raw": "image_raw",
        "~/color/image_raw/compressed": "image_raw/compressed",
    }


def test_usb_by_serial_number(devices: Path) -> None:
    agentview, wrist = camera_nodes("usb", TWO, devices)
    assert agentview.parameters["video_device"] == f"{devices}/usb-046d_HD_Pro_Webcam_C920_831612073525-video-index0"
    assert wrist.parameters["video_device"].endswith("usb-Arducam_034422070213-video-index0")
    assert not agentview.remappings, "the driver's topic is the policy's already"


def test_a_camera_that_is_not_plugged_in_is_named_with_those_that_are(devices: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"serials\.wrist: no USB camera .*expected 99; found usb-046d.*Arducam"):
        camera_nodes("usb", '{wrist: "99"}', devices)
    with pytest.raises(InputError, match="no camera in"):
        camera_nodes("usb", '{wrist: "99"}', tmp_path / "nothing")
    (devices / "usb-Other_831612073525-video-index0").touch()
    with pytest.raises(InputError, match="several cameras"):
        camera_nodes("usb", TWO, devices)


@pytest.mark.parametrize(
    ("serials", "named"),
    [
        ("", r"serials\.agentview: serial number is missing.*rs-enumerate-devices"),
        ("{wrist: 1234}", r"serials\.wrist: serial number is missing; expected a text in quotes; found 1234"),
        ("[", "not YAML"),
        ("wrist", "not a mapping"),
        ("{}", "no cameras"),
    ],
)
def test_serial_numbers_must_be_given(serials: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        camera_nodes("realsense", serials)


@pytest.mark.parametrize("driver", sorted(DRIVERS))
def test_automatic_pictures_are_refused(driver: str, tmp_path: Path, devices: Path) -> None:
    content: dict[str, Any] = yaml.safe_load((CONFIG / f"{driver}.yaml").read_text(encoding="utf-8"))
    for field, value in DRIVERS[driver].locked.items():
        for wrong in (3 if value == 1 else True, None, str(value)):
            _write(tmp_path, {**content, "parameters": {**content["parameters"], field: wrong}})
            with pytest.raises(InputError, match=rf"parameters\.{field}: the camera would choose"):
                camera_nodes(str(tmp_path / "mine.yaml"), TWO, devices)
    for field in DRIVERS[driver].chosen:
        _write(tmp_path, {**content, "parameters": {**content["parameters"], field: None}})
        with pytest.raises(InputError, match=rf"parameters\.{field}: no value for what is locked"):
            camera_nodes(str(tmp_path / "mine.yaml"), TWO, devices)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"driver": "zed"}, "realsense or usb; found 'zed'"),
        ({"lens": 1}, "wrong fields"),
        ({"parameters": []}, "mapping"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    content = yaml.safe_load((CONFIG / "realsense.yaml").read_text(encoding="utf-8"))
    _write(tmp_path, content | change)
    with pytest.raises(InputError, match=named):
        camera_nodes(str(tmp_path / "mine.yaml"), TWO)


def _write(folder: Path, content: Any) -> None:
    (folder / "mine.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
