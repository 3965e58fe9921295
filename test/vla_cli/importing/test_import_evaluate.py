"""What was imported can be evaluated: each format gets its rows of the table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from vla_cli.main import main

Play = tuple[int, int, bool, int]
"""Task, episode, success and number of inferences."""


def plays() -> Iterator[Play]:
    return ((task, n, n % 3 > 0, 5 + n % 4) for task in range(3) for n in range(12))


def openvla(root: Path, writers: SimpleNamespace) -> None:
    for task, episode, success, steps in plays():
        suite = root / "note" / "libero_10"
        writers.openvla(suite, task=task, episode=episode, success=success, steps=steps)


def pi0(root: Path, writers: SimpleNamespace, kind: str = "pi0") -> None:
    writer = writers.openpi(root / "run", kind)
    for task, episode, success, inferences in plays():
        writer.episode(task, episode, success=success, inferences=inferences)


def pi0_fast(root: Path, writers: SimpleNamespace) -> None:
    pi0(root, writers, "pi0_fast")


def open_pi_zero(root: Path, writers: SimpleNamespace) -> None:
    names = ("google_robot_move_near_v0", "google_robot_open_drawer", "google_robot_close_drawer")
    for task, episode, success, inferences in plays():
        writers.open_pi_zero(root / "ckpt" / names[task], episode=episode, success=success, inferences=inferences)


def fiper(root: Path, writers: SimpleNamespace) -> None:
    for task, episode, success, inferences in plays():
        name = ("push_t", "sorting", "stacking")[task]
        writers.fiper(root / name, episode=episode, success=success, inferences=inferences)


CASES: dict[str, tuple[Callable[[Path, SimpleNamespace], None], set[str]]] = {
    "safe_openvla": (openvla, {"cosine_knn", "token_max_prob", "token_avg_entropy"}),
    "pi0": (pi0, {"mahalanobis", "stac_single"}),
    "pi0_fast": (pi0_fast, {"cosine_knn", "token_avg_prob", "stac_single"}),
    "open_pi_zero": (open_pi_zero, {"cosine_knn", "total_variance", "stac"}),
    "fiper": (fiper, {"cosine_knn", "total_variance", "stac", "ace"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CASES))
def test_imported_rollouts_are_evaluated(
    tmp_path: Path, writers: SimpleNamespace, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write, expected = CASES[name]
    write(tmp_path / "data", writers)
    store = str(tmp_path / "store")
    assert main(["import", str(tmp_path / "data"), "--out", store]) == 0
    capsys.readouterr()
    asked = ",".join(sorted({*expected, "vfd", "counter"}))
    arguments = ["evaluate", "--rollouts", store, "--quick", "--seeds", "0", "--detectors", asked]
    assert main([*arguments, "--out", str(tmp_path / "out"), "--processes", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["episodes"] == 36
    assert {row["detector"] for row in told["rows"]} == {*expected, "counter"}  # VFD needs an ensemble
