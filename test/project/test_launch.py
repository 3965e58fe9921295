"""The launch files: what they set exists, and they load where ROS's launch is installed."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"


def test_arguments_set_parameters_that_exist() -> None:
    parameters = yaml.safe_load((ROOT / "config" / "monitor.yaml").read_text(encoding="utf-8"))["/**"]
    tree = ast.parse((LAUNCH / "monitor.launch.py").read_text(encoding="utf-8"))
    overrides = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "OVERRIDES"
    )
    assert overrides.keys() == parameters.keys()
    for name, keys in overrides.items():
        assert set(keys) <= set(parameters[name]["ros__parameters"]), name
        assert (ROOT / "scripts" / name).exists()


@pytest.mark.parametrize("name", ["monitor.launch.py", "demo.launch.py"])
def test_launch_files_load(name: str) -> None:
    pytest.importorskip("launch_ros", reason="ROS's launch is on no package index; it comes with a ROS 2 install")
    spec = importlib.util.spec_from_file_location("launch_file", LAUNCH / name)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.generate_launch_description().entities


def test_people_are_told_what_it_is_not() -> None:
    assert "no safety function" in (LAUNCH / "monitor.launch.py").read_text(encoding="utf-8")
    assert "monitor.launch.py" in (LAUNCH / "demo.launch.py").read_text(encoding="utf-8")
