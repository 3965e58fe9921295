"""``vla-monitor import``: from folders of records to a store, through kills and broken files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vla_cli.main import main
from vla_uq.rollouts.store import RolloutStore

ROOT = Path(__file__).parents[3]
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The verb's JSON, and its exit code under ``code``."""

    def call(*arguments: object) -> dict[str, Any]:
        code = main(["import", *map(str, arguments), "--json"])
        captured = capsys.readouterr()
        return {**(json.loads(captured.out) if captured.out else {}), "code": code, "err": captured.err}

    return call


def counts(report: dict[str, Any]) -> dict[str, int]:
    return {row["episodes"]: row["n"] for row in report["rows"]}


def test_each_format_becomes_a_store(tmp_path: Path, writers: SimpleNamespace, run: Run) -> None:
    writers.openvla(tmp_path / "safe_openvla" / "note" / "libero_10")
    writers.openpi(tmp_path / "safe_openpi" / "run", "pi0_fast").episode()
    writers.open_pi_zero(tmp_path / "open_pi_zero" / "ckpt" / "widowx_stack_cube")
    writers.fiper(tmp_path / "fiper" / "push_t")
    for name in ("safe_openvla", "safe_openpi", "open_pi_zero", "fiper"):
        told = run(tmp_path / name, "--out", tmp_path / "store")
        assert (told["code"], told["format"], counts(told)["written"]) == (0, name, 1)
        named = run(tmp_path / name, "--out", tmp_path / "store", "--format", name)
        assert (named["code"], counts(named)["there already"]) == (0, 1)
    assert len(RolloutStore(tmp_path / "store")) == 4


def test_what_is_broken_is_listed_and_makes_the_exit_code_one(
    tmp_path: Path, writers: SimpleNamespace, run: Run
) -> None:
    for episode in range(3):
        writers.openvla(tmp_path / "note" / "libero_10", episode=episode)
    (tmp_path / "note" / "libero_10" / "task3--ep1--succ1.pkl").write_bytes(b"\x80\x04cos\nsystem\n.")
    told = run(tmp_path, "--out", tmp_path / "store")
    assert (told["code"], counts(told)) == (1, {"written": 2, "there already": 0, "broken": 1})
    (line,) = told["left_out"]
    assert "note/libero_10/task3--ep1--succ1" in line and "found os.system" in line
    strict = run(tmp_path, "--out", tmp_path / "strict", "--strict")
    assert strict["code"] == 2 and "task3--ep1--succ1" in strict["err"]


def test_wrong_input_is_one_line(tmp_path: Path, writers: SimpleNamespace, run: Run) -> None:
    assert "no such folder" in run(tmp_path / "nowhere", "--out", tmp_path / "store")["err"]
    assert "holds no known format" in run(tmp_path, "--out", tmp_path / "store")["err"]
    wrong = run(tmp_path, "--out", tmp_path / "store", "--format", "fiper")
    assert wrong["code"] == 2 and "holds nothing of this format" in wrong["err"]


def test_a_killed_import_loses_and_doubles_nothing(tmp_path: Path, writers: SimpleNamespace) -> None:
    """Killed again and again, at whatever it is doing, until it comes to its end."""
    writer = writers.openpi(tmp_path / "data" / "run", dim=512)
    for episode in range(12):
        writer.episode(episode=episode, inferences=20, horizon=24, success=episode % 3 > 0)
    command = [sys.executable, "-m", "vla_cli", "import", str(tmp_path / "data"), "--out", str(tmp_path / "killed")]
    kills, held = 0, [0]
    for attempt in range(30):
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        before = len(RolloutStore(tmp_path / "killed"))
        while process.poll() is None and len(RolloutStore(tmp_path / "killed")) < before + 2:
            time.sleep(0.002)
        time.sleep(0.007 * (attempt % 5))
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        held.append(len(list(RolloutStore(tmp_path / "killed"))))  # every file in it can be read
    assert process.returncode == 0
    assert kills >= 3 and held == sorted(held)
    assert main(["import", str(tmp_path / "data"), "--out", str(tmp_path / "whole"), "--json"]) == 0
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == names
    assert len(names) == 12
    for name in names:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
