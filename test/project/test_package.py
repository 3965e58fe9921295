"""The files around the code agree with each other."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

tomllib = pytest.importorskip("tomllib")  # Python 3.11
ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "scripts").iterdir())
OF_ROS = {"ament_index_python", "launch", "launch_ros", "rclpy"}
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    return tomllib.loads(text("pyproject.toml"))["project"]


def test_one_version() -> None:
    version = project()["version"]
    assert ElementTree.fromstring(text("package.xml")).findtext("version") == version
    assert f"## [{version}]" in text("CHANGELOG.md")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_start_what_pip_starts(script: Path) -> None:
    assert os.access(script, os.X_OK)
    module = re.search(r"^from (\S+) import main$", script.read_text(encoding="utf-8"), re.M)
    assert module
    assert project()["scripts"][script.name] == f"{module[1]}:main"
    assert f"scripts/{script.name}" in text("CMakeLists.txt")
    assert (ROOT / Path(*module[1].split("."))).with_suffix(".py").exists()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_locks_pin_exactly_and_name_no_index(lock: Path) -> None:
    lines = [line for line in lock.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]*==[0-9][\w.!]*|-r \w+\.lock", line) for line in lines)


def test_message_packages_that_are_imported_are_depended_on() -> None:
    """But for those of the robots, which are imported where such an arm is driven only."""
    robots = {path.parent.name for path in (ROOT / "test" / "interfaces").glob("*/package.xml")}
    rooms = [ROOT / room for room in re.search(r"foreach\(room ([^)]+)\)", text("CMakeLists.txt"))[1].split()]  # type: ignore[index]
    files = [*(ROOT / "launch").glob("*.py"), *(file for room in rooms for file in room.rglob("*.py"))]
    found = set()
    for file in files:
        names = re.findall(r"^ *(?:from|import) (\w+)[. ]", file.read_text(encoding="utf-8"), re.M)
        found |= {name for name in names if name.endswith(("_msgs", "_interfaces", "_srvs")) or name in OF_ROS}
    package = ElementTree.fromstring(text("package.xml"))
    depended = {one.text for kind in ("depend", "exec_depend") for one in package.iter(kind)}
    assert "std_msgs" in found and found - robots - {"vla_monitor"} <= depended


def test_the_demo_needs_no_torch() -> None:
    assert "torch" not in text("requirements/runtime.lock")
    assert re.search(r"^torch==", text("requirements/dev.lock"), re.M)


def test_licence_is_complete() -> None:
    licence = text("LICENSE")
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
