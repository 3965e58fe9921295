"""The launch files as they stand: what they name exists, and they load where ROS's launch is installed."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
FILES = sorted(LAUNCH.glob("*.launch.py"))


def constant(file: str, name: str) -> Any:
    tree = ast.parse((LAUNCH / file).read_text(encoding="utf-8"))
    assignments = (node for node in tree.body if isinstance(node, ast.Assign))
    return next(ast.literal_eval(node.value) for node in assignments if ast.unparse(node.targets[0]) == name)


def test_arguments_set_parameters_that_exist() -> None:
    parameters = yaml.safe_load((ROOT / "config" / "monitor.yaml").read_text(encoding="utf-8"))["/**"]
    overrides = constant("monitor.launch.py", "OVERRIDES")
    assert overrides.keys() == parameters.keys()
    for name, keys in overrides.items():
        assert set(keys) <= set(parameters[name]["ros__parameters"]), name
        assert (ROOT / "scripts" / name).exists()
    starting = {name for name, content in parameters.items() if "autostart" in content["ros__parameters"]}
    assert set(constant("monitor.launch.py", "LIFECYCLE")) == starting
    assert {"frame_id", "fingers"} <= set(parameters["policy_node"]["ros__parameters"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_launch_files_load(file: Path) -> None:
    pytest.importorskip("launch_ros", reason="ROS's launch is on no package index; it comes with a ROS 2 install")
    spec = importlib.util.spec_from_file_location("launch_file", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.generate_launch_description().entities


def test_two_computers_share_the_nodes() -> None:
    """Each node runs on one of them; nothing that commands the arm needs the other for a stop."""
    parts, overrides = constant("monitor.launch.py", "PARTS"), constant("monitor.launch.py", "OVERRIDES")
    names = [name for part in parts.values() for name in part]
    assert sorted(names) == sorted([*overrides, "teleop_node"])
    assert {"supervisor_node", "deadman_node", "teleop_node"} <= set(parts["arm"])


def test_people_are_told_what_it_is_not() -> None:
    assert "no safety function" in (LAUNCH / "monitor.launch.py").read_text(encoding="utf-8")


def test_the_nodes_stand_in_one_file() -> None:
    """Every other launch file includes it."""
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        assert ('"supervisor_node"' in text) == (file.name == "monitor.launch.py")
        assert ("monitor.launch.py" in text) or (file.name == "demo.launch.py" and ".launch.py" in text)
