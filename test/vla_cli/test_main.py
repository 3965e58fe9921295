"""Every wrong input is one line on stderr and exit code 2."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vla_cli import surroundings
from vla_cli.main import DONE, VERBS, WRONG_INPUT, main
from vla_uq.rollouts.store import Rollout, RolloutMeta, RolloutStore


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run, expect exit code 2 and one line; return it."""
    assert main([str(argument) for argument in arguments]) == WRONG_INPUT
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("vla-monitor: ")
    return line


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    assert "usage: vla-monitor" in capsys.readouterr().out


def test_no_verb_and_an_unknown_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert "verb" in refused(capsys)
    assert "invalid choice: 'fly'" in refused(capsys, "fly")


def test_a_missing_argument_names_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert "vla-monitor rollouts" in refused(capsys, "rollouts")


def test_an_unknown_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "rollouts", "--out", tmp_path, "--tasks", "fold the shirt")
    assert "unknown task" in line and "fold the shirt" in line


def test_an_unknown_disturbance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "rollouts", "--out", tmp_path, "--disturbances", "earthquake")
    assert "unknown disturbance" in line and "push" in line


def test_seeds_of_another_purpose_are_out_of_reach(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "out of range" in refused(capsys, "rollouts", "--out", tmp_path, "--episodes", 100_001)


@pytest.mark.parametrize("verb", ["rollouts", "calibrate"])
def test_missing_weights_name_the_file(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, purpose in ((100_000, "train"), (200_000, "calibrate")):
        meta = RolloutMeta(purpose, "task", seed, "none", True, 6, "f")
        RolloutStore(tmp_path).add(Rollout(meta, {"features": np.zeros((1, 2), np.float32)}))
    more = ["--rollouts", tmp_path] if verb == "calibrate" else []
    line = refused(capsys, verb, "--out", tmp_path / "x", "--policy", tmp_path, *more)
    assert "manifest.json" in line and "train-policy" in line


def test_a_bundle_of_another_policy_stops_the_demo_before_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pins: the demo started all processes, waited 30 s for a supervisor that could not arm, and ended with code 1."""
    import json

    from vla_policy.manifest import FILE, WEIGHTS

    policy = tmp_path / "policy"
    shutil.copytree(WEIGHTS, policy)
    content = json.loads((policy / FILE).read_text())
    (policy / FILE).write_text(json.dumps({**content, "execute_steps": content["execute_steps"] + 1}))
    line = refused(capsys, "demo", "--policy", policy, "--out", tmp_path / "out")
    assert "policy.fingerprint" in line and not (tmp_path / "out").exists()
    (tmp_path / "broken").write_bytes(b"no bundle")
    assert "broken" in refused(capsys, "demo", "--bundle", tmp_path / "broken", "--out", tmp_path / "out")


def test_no_rollouts_says_how_to_make_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "vla-monitor rollouts" in refused(
        capsys, "train", "--rollouts", tmp_path, "--detector", "vfd", "--out", tmp_path / "b"
    )


def test_no_demonstrations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "train-policy", "--demonstrations", tmp_path, "--out", tmp_path)
    assert "vla-monitor collect" in line


def test_an_unknown_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--split" in refused(capsys, "collect", "--out", tmp_path, "--split", "all")


def test_missing_pieces_around_us(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = surroundings.Need("ROS 2", ("no_such_module",), "source a ROS 2 install")
    monkeypatch.setitem(surroundings.NEEDS, "ros", absent)
    line = refused(capsys, "demo", "--out", tmp_path)
    assert "ROS 2 cannot be used" in line and "source a ROS 2 install" in line


def test_the_demo_takes_nothing_away_from_another_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from vla_cli.verbs.demo import clear
    from vla_uq.errors import InputError

    (tmp_path / "bag").mkdir()
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"thesis\.tex"):
        clear(tmp_path)
    assert (tmp_path / "bag").exists()


def test_tasks_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "--json"]) == DONE
    listed = json.loads(capsys.readouterr().out)
    assert len([row for row in listed["rows"] if row["split"] == "trained"]) >= 13
    assert set(listed["disturbances"]) >= {"none", "outside", "push", "lights", "recolour", "unseen"}


def test_inspect_shows_a_rollout_and_refuses_another_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    meta = RolloutMeta("e", "put it there", 3, "push", False, 12, "print")
    path = RolloutStore(tmp_path).add(Rollout(meta, {"features": np.zeros((2, 5), np.float32)}))
    assert main(["inspect", str(path), "--json"]) == DONE
    shown = json.loads(capsys.readouterr().out)
    assert (shown["task"], shown["success"], shown["tensor features"]) == ("put it there", False, "2 x 5")
    (tmp_path / "x").write_bytes(b"nonsense")
    assert "cannot be read" in refused(capsys, "inspect", tmp_path / "x")
    assert "no such file" in refused(capsys, "inspect", tmp_path / "y")
