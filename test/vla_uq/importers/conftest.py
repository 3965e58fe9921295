"""Writers of every format that is imported, so that readers meet the files of the real recorders."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

WRITERS = Path(__file__).parents[1] / "rollout_writers"


def load(name: str) -> ModuleType:
    """A module of the writers; tests are not on the path."""
    spec = importlib.util.spec_from_file_location(name, WRITERS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def writers() -> SimpleNamespace:
    """See :func:`all_writers`."""
    return all_writers()


def all_writers() -> SimpleNamespace:
    """``openvla``, ``open_pi_zero`` and ``fiper`` write an episode; ``openpi`` is a writer to be made for a run."""
    return SimpleNamespace(
        openvla=load("openvla_writer").write,
        openpi=load("openpi_writer").OpenpiWriter,
        open_pi_zero=load("open_pi_zero_writer").write,
        fiper=load("fiper_writer").write,
    )
