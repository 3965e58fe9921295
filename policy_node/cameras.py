"""Camera drivers as data: the files of ``config/cameras``, and what each camera's node is started with.

A policy sees what its cameras make of the light; one that brightens and cools its picture by itself shows the policy,
and the monitor's calibration with it, another scene. A file that leaves exposure or white balance to the camera is
refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vla_uq.configuration import find
from vla_uq.errors import InputError

BY_ID = Path("/dev/v4l/by-id")
"""Where udev links video devices by their serial numbers."""
_FIELDS = ("driver", "serials", "parameters")


@dataclass(frozen=True)
class Driver:
    """One kind of camera driver.

    :param topic: of the colour image, as the driver names it.
    :param locked: parameters that take exposure and white balance out of the camera's hands.
    :param chosen: parameters that say what they are instead.
    :param listing: command that lists serial numbers.
    """

    package: str
    executable: str
    topic: str
    locked: Mapping[str, Any]
    chosen: tuple[str, ...]
    listing: str


DRIVERS = {
    "realsense": Driver(
        package="realsense2_camera",
        executable="realsense2_camera_node",
        topic="~/color/image_raw",
        locked={"rgb_camera.enable_auto_exposure": False, "rgb_camera.enable_auto_white_balance": False},
        chosen=("rgb_camera.exposure", "rgb_camera.white_balance"),
        listing="rs-enumerate-devices -s",
    ),
    "usb": Driver(
        package="v4l2_camera",
        executable="v4l2_camera_node",
        topic="image_raw",
        locked={"auto_exposure": 1, "white_balance_automatic": False},
        chosen=("exposure_time_absolute", "white_balance_temperature"),
        listing=f"ls {BY_ID}",
    ),
}


@dataclass(frozen=True)
class CameraNode:
    """How the node of one camera is started, in a namespace of the camera's name.

    :param name: of the camera, as policies know it.
    """

    name: str
    driver: Driver
    parameters: Mapping[str, Any]
    remappings: tuple[tuple[str, str], ...]


def camera_nodes(name: str, serials: str = "", devices: Path = BY_ID) -> list[CameraNode]:
    """The nodes of a file of ``config/cameras``, or of a path.

    :param serials: camera to serial number, a YAML mapping in place of the file's.
    :param devices: folder of the links by serial number.
    :raises InputError: no such file, a field that cannot be right, a serial number that is missing or not plugged in,
        or a camera that would choose its exposure or white balance itself.
    """
    path = find("cameras", name, "camera file", "cameras")
    content = _mapping(path.read_text(encoding="utf-8"), str(path))
    if set(content) != set(_FIELDS):
        raise InputError("wrong fields", where=str(path), expected=", ".join(_FIELDS), found=", ".join(content))
    if content["driver"] not in DRIVERS:
        expected, found = " or ".join(DRIVERS), repr(content["driver"])
        raise InputError("unknown driver", where=f"{path}: driver", expected=expected, found=found)
    driver, parameters = DRIVERS[content["driver"]], content["parameters"]
    _demand_locked(driver, parameters, path)
    numbers = _mapping(serials, "serials") if serials else content["serials"]
    if not isinstance(numbers, dict) or not numbers:
        raise InputError("no cameras", where=f"{path}: serials", expected="camera: number", found=repr(numbers)[:80])
    nodes = []
    for camera, serial in numbers.items():
        if not isinstance(serial, str) or not serial:
            raise InputError(
                "serial number is missing",
                where=f"serials.{camera}",
                expected="a text in quotes",
                found=repr(serial),
                remedy=f"list them with `{driver.listing}`, then serials:='{{{camera}: \"…\"}}'",
            )
        given = _device(camera, serial, devices) if content["driver"] == "usb" else _realsense(camera, serial)
        topics = tuple((driver.topic + end, "image_raw" + end) for end in ("", "/compressed"))
        moved = () if driver.topic == "image_raw" else topics
        nodes.append(CameraNode(camera, driver, {**parameters, **given}, moved))
    return nodes


def _realsense(camera: str, serial: str) -> dict[str, Any]:
    return {"serial_no": serial, "camera_name": camera}


def _device(camera: str, serial: str, devices: Path) -> dict[str, Any]:
    """The video device with a serial number; index0 of its links is the one with pictures, others carry metadata."""
    links = sorted(devices.glob("*-video-index0"))
    found = [link for link in links if link.name.removesuffix("-video-index0").endswith(f"_{serial}")]
    if len(found) != 1:
        raise InputError(
            "no USB camera has this serial number" if not found else "several cameras have this serial number",
            where=f"serials.{camera}",
            expected=serial,
            found=", ".join(link.name for link in found or links) or f"no camera in {devices}",
        )
    return {"video_device": str(found[0]), "camera_frame_id": f"{camera}_color_optical_frame"}


def _demand_locked(driver: Driver, parameters: Any, path: Path) -> None:
    if not isinstance(parameters, dict):
        found = type(parameters).__name__
        raise InputError("not a mapping", where=f"{path}: parameters", expected="name: value", found=found)
    for name, value in driver.locked.items():
        if type(parameters.get(name)) is not type(value) or parameters[name] != value:
            where, found = f"{path}: parameters.{name}", repr(parameters.get(name))
            raise InputError("the camera would choose its picture itself", where=where, expected=value, found=found)
    for name in driver.chosen:
        if type(parameters.get(name)) is not int:
            where, found = f"{path}: parameters.{name}", repr(parameters.get(name))
            raise InputError("no value for what is locked", where=where, expected="a whole number", found=found)


def _mapping(text: str, where: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError("not YAML", where=where, found=str(error).splitlines()[0]) from None
    if not isinstance(content, dict):
        raise InputError("not a mapping", where=where, found=type(content).__name__)
    return content
