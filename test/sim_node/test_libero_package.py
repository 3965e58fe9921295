"""Without LIBERO or its assets: one line that says what to do."""

from __future__ import annotations

import contextlib
import importlib.util
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sim_node.libero import package, tasks
from vla_uq.errors import InputError


@pytest.fixture(autouse=True)
def _fresh():
    for cached in (package.load, tasks.suite_tasks):
        cached.cache_clear()
    yield
    for cached in (package.load, tasks.suite_tasks):
        cached.cache_clear()


def test_a_missing_package_is_one_line_that_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError) as caught:
        package.load()
    assert "\n" not in str(caught.value)
    assert "LIBERO is not installed" in str(caught.value)
    assert package.INSTALL in str(caught.value)


def test_missing_assets_are_one_line_that_names_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv(package.ASSETS_VARIABLE, str(tmp_path))
    with pytest.raises(InputError) as caught:
        package.assets_folder(tmp_path)
    assert "\n" not in str(caught.value)
    assert package.ASSETS_VARIABLE in str(caught.value)
    assert "download them once" in str(caught.value)


def test_assets_are_found_in_the_variable_the_package_and_the_cache_in_turn(monkeypatch, tmp_path):
    def assets(place: Path) -> Path:
        (place / "articulated_objects").mkdir(parents=True)
        return place

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv(package.ASSETS_VARIABLE, raising=False)
    cache = assets(tmp_path / "home" / ".cache" / "libero" / "assets")
    assert package.assets_folder(tmp_path / "root") == cache
    own = assets(tmp_path / "root" / "assets")
    assert package.assets_folder(tmp_path / "root") == own
    named = assets(tmp_path / "named")
    monkeypatch.setenv(package.ASSETS_VARIABLE, str(named))
    assert package.assets_folder(tmp_path / "root") == named


def test_the_benchmark_refuses_in_one_line(monkeypatch, tmp_path, capsys):
    from benchmarks.libero.__main__ import main

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["demonstrations", "--processes", "1", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("benchmarks.libero: package libero")
    assert not (tmp_path / "out").exists()


def _archive(path: Path, content: object) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
    return path


def test_initial_states_are_parsed_from_torchs_archive(tmp_path):
    states = np.random.default_rng(0).normal(size=(50, 7))
    path = _archive(tmp_path / "task.pruned_init", states)
    np.testing.assert_array_equal(tasks._read_states(path, 7), states)
    with pytest.raises(InputError, match="not a file of initial states"):
        tasks._read_states(path, 8)


def test_a_hostile_file_of_initial_states_runs_nothing(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (Path(tmp_path / "ran").touch, ())

    for content in (Hostile(), [np.zeros((2, 3)), Hostile()], "text"):
        path = _archive(tmp_path / "task.pruned_init", content)
        with contextlib.suppress(InputError):
            tasks._read_states(path, 3)
    assert not (tmp_path / "ran").exists()
