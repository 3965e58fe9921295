"""Which interface packages are built: not the real ones, and ours only when they have changed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

FILE = Path(__file__).parents[1] / "interfaces" / "build.py"


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The script, with an empty prefix and nothing that can be imported."""
    spec = importlib.util.spec_from_file_location("build_interfaces", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PREFIX", tmp_path)
    module.importable = {}
    monkeypatch.setattr(module.importlib.util, "find_spec", module.importable.get)
    return module


def test_everything_is_due_at_first(build: Any) -> None:
    packages = ["control_msgs", "controller_manager_msgs", "franka_msgs", "interbotix_xs_msgs"]
    assert build.due() == build.packages() == packages


def test_a_real_package_is_left_alone_and_a_folder_of_that_name_is_none(build: Any) -> None:
    build.importable["control_msgs"] = SimpleNamespace(origin="/opt/ros/control_msgs/__init__.py")
    build.importable["franka_msgs"] = SimpleNamespace(origin=None)
    assert build.due() == ["controller_manager_msgs", "franka_msgs", "interbotix_xs_msgs"]


@pytest.mark.parametrize(("mark", "due"), [("unfinished", True), ("", True), (None, False)])
def test_ours_is_built_again_when_it_is_unfinished_or_old(build: Any, mark: str | None, due: bool) -> None:
    build.importable["control_msgs"] = SimpleNamespace(origin="somewhere/control_msgs/__init__.py")
    file = build.mark("control_msgs")
    file.parent.mkdir(parents=True)
    file.write_text(build.digest("control_msgs") if mark is None else mark)
    assert ("control_msgs" in build.due()) == due


def test_nothing_is_installed_outside_of_a_virtual_environment(
    build: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        build, "sys", SimpleNamespace(prefix="/usr", base_prefix="/usr", version="3", stderr=sys.stderr)
    )
    assert build.main() == 2
    assert "ros-$ROS_DISTRO-control-msgs" in capsys.readouterr().err
