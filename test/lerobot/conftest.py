"""Tiny LeRobot policies; where LeRobot is not installed, what needs it is skipped."""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tiny_policies import Make, make

if importlib.util.find_spec("lerobot"):
    from vla_server.lerobot.environment import import_torchvision

    import_torchvision()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs LeRobot where it is not installed."""
    if importlib.util.find_spec("lerobot") is None:
        for item in items:
            if item.get_closest_marker("lerobot"):
                item.add_marker(pytest.mark.skip(reason="LeRobot not installed; run: make test-lerobot"))


@pytest.fixture
def make_policy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Make:
    """``make_policy("smolvla", seed, **options)``: see :func:`tiny_policies.make`."""
    torch = pytest.importorskip("torch")
    from vla_server.lerobot.environment import prepare

    prepare()
    torch.set_num_threads(1)
    return partial(make, folder=tmp_path / "vlm", monkeypatch=monkeypatch)


@pytest.fixture(params=["smolvla", "pi0", "pi05"])
def family(request: pytest.FixtureRequest) -> str:
    """Every kind of policy that this LeRobot is right for."""
    from vla_server.lerobot.environment import FAMILIES, prepare

    name = str(request.param)
    if prepare() < FAMILIES[name][0]:
        pytest.skip(f"{name} is refused on this LeRobot")
    return name
