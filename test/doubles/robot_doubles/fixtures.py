"""Robots for tests: in a thread of the test's process, or in a process that can be killed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PACKAGES = ("control_msgs", "controller_manager_msgs", "franka_msgs", "interbotix_xs_msgs")


def _require_packages() -> None:
    specs = {name: importlib.util.find_spec(name) for name in PACKAGES}
    missing = [name for name, spec in specs.items() if spec is None or spec.origin is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed; run: make test")


@pytest.fixture
def rig(ros_domain: int) -> Iterator[Any]:
    """A :class:`robot_doubles.rig.Rig` in this test's domain: make robots, then ``start()`` it."""
    _require_packages()
    from robot_doubles.rig import Rig

    made = Rig(ros_domain)
    yield made
    made.close()


@pytest.fixture
def spawn_robot(spawn: Any) -> Callable[..., Any]:
    """``spawn_robot("widowx_xs")``: that robot as a process of its own, a ``Spawned``."""
    _require_packages()

    def start(robot: str, **parameters: object) -> Any:
        env = {"PYTHONPATH": str(Path(__file__).parents[1])}
        return spawn("robot_doubles.process", params={"robot": robot, **parameters}, env=env)

    return start
