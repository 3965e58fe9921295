"""The maps: those that ship can be read, wrong ones are refused with file, field, expected and found."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from teleop_node.device import Leader, Tracked, Velocity
from teleop_node.files import find_device, load_device
from vla_uq.errors import InputError

messages = pytest.importorskip("teleop_node.messages", reason="ROS's messages are not there; run: make setup")
MAPS = sorted((Path(__file__).parents[2] / "config" / "teleop").glob("*.yaml"))


@pytest.mark.parametrize("path", MAPS, ids=lambda path: path.stem)
def test_maps_that_ship(path: Path) -> None:
    device = load_device(path.stem, messages.READERS)
    assert device.name == path.stem and 0 < device.timeout <= 0.2, "the supervisor's lease is 0.2 s"
    names = {given.type for given in device.inputs.values()}
    assert names <= {*messages.READERS, "keyboard"}
    assert not isinstance(device.motion, Velocity) or device.frozen > 0 or path.stem == "keyboard"


def test_every_kind_of_motion_ships() -> None:
    kinds = {type(load_device(path.stem, messages.READERS).motion) for path in MAPS}
    assert kinds == {Velocity, Tracked, Leader}


def change(content: Any, path: str, value: Any) -> None:
    *parents, last = path.split("/")
    for name in parents:
        content = content[name]
    if value is None:
        del content[last]
    else:
        content[last] = value


WRONG = [
    ("joy", "timeout", -1, "timeout: impossible value; expected a finite number above 0; found -1"),
    ("joy", "timeout", None, "field is missing; expected inputs, timeout"),
    ("joy", "tiemout", 1, "unknown field; expected inputs, timeout"),
    ("joy", "deadman", "pad.button1", "deadman: impossible value; expected <input>.<channel>, inputs are joy"),
    ("joy", "deadman", {"channel": "joy.button1", "scale": float("nan")}, "deadman.scale: impossible value"),
    ("joy", "inputs", ["joy"], "inputs: impossible value; expected a mapping; found list"),
    ("joy", "inputs/joy/type", "Joy", "inputs.joy.type: impossible value; expected sensor_msgs/msg/Joy, "),
    ("joy", "inputs/joy/silent", True, "inputs.joy.silent: impossible value; expected false"),
    ("joy", "pose", {}, "expected exactly one of velocity, pose, joints; found velocity, pose"),
    ("joy", "velocity/axes/forward", "joy.axis0", "velocity.axes: unknown field; expected x, y, z, rx, ry, rz"),
    ("joy", "velocity/leash/translation", True, "velocity.leash.translation: impossible value"),
    ("joy", "gripper/open", None, "gripper: impossible value; expected close and open, or toggle, or opening"),
    ("joy", "buttons/jump", "joy.button9", "buttons: unknown field; expected take, give, halt"),
    ("tracked", "pose/mode", "sideways", "pose.mode: impossible value; expected absolute or relative"),
    ("tracked", "pose/mode", "absolute", "pose.scale: impossible value; expected no scale for an absolute device"),
    ("tracked", "pose/input", "hand", "pose.input: impossible value; expected controller, joy; found hand"),
    ("gello", "joints/names", {}, "joints.names: impossible value; expected the follower's joints; found none"),
    ("gello", "joints/tip", 3, "joints.tip: impossible value; expected a text; found 3"),
    ("keyboard", "inputs/keys/topic", "keys", "inputs.keys.topic: impossible value; expected a topic, but for a keyb"),
]


@pytest.mark.parametrize(("name", "field", "value", "said"), WRONG, ids=[f"{w[0]}-{w[1]}" for w in WRONG])
def test_wrong_maps_are_refused_by_the_field(tmp_path: Path, name: str, field: str, value: Any, said: str) -> None:
    content = copy.deepcopy(yaml.safe_load(find_device(name).read_text(encoding="utf-8")))
    change(content, field, value)
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError) as error:
        load_device(str(file), messages.READERS)
    assert str(file) in str(error.value) and said in str(error.value)


def test_unknown_map_says_which_there_are() -> None:
    with pytest.raises(InputError, match=r"expected gello, joy, keyboard, moveit_servo.*or a path"):
        load_device("nunchuk", messages.READERS)


def test_a_file_that_is_no_yaml(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("a: [")
    with pytest.raises(InputError, match="not YAML"):
        load_device(str(file), messages.READERS)
