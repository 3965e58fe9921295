"""`audit`: 0 for a clean bag, 1 for a broken rule, 2 for what cannot be read or is no recording of ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_cli.main import main
from vla_uq.contracts import Chunk, Key, Space

WriteBag = Callable[[Path, Any], Path]
Row = tuple[int, str, str, dict[str, Any]]
OURS = "vla_monitor/msg/"
MS = 1_000_000
AUTONOMOUS, GUARD, POLICY = 2, 1, 1
KEY = Key(bytes(range(16)), 3, "episode-1", 0)
CHUNK = Chunk(
    key=KEY,
    space=Space.EE_DELTA,
    names=("x", "y", "z", "rx", "ry", "rz"),
    actions=np.full((16, 6), 0.01, np.float32),
    gripper=np.ones(16, np.float32),
    step_duration=0.05,
    execute_steps=6,
)


def key(prefix: str) -> dict[str, Any]:
    run = np.frombuffer(KEY.run_id, np.uint8)
    return {
        f"{prefix}.run_id": run,
        f"{prefix}.sequence": KEY.sequence,
        f"{prefix}.episode_id": KEY.episode_id,
        f"{prefix}.step": KEY.step,
    }


def rows(score: float | None = 0.5, x: float = 0.1 + float(CHUNK.actions[0, 0])) -> list[Row]:
    """A chunk, its score and the first command made from it, at pose (0.1, 0, 0.3) with the hand unturned."""
    angle = float(CHUNK.actions[0, 3]) * np.sqrt(3) / 2
    turned = np.sin(angle) / np.sqrt(3)
    measured = {"position.x": 0.1, "position.z": 0.3, "orientation.w": 1.0}
    target = {
        "position.x": x,
        "position.y": float(CHUNK.actions[0, 1]),
        "position.z": 0.3 + float(CHUNK.actions[0, 2]),
        **{f"orientation.{axis}": turned for axis in "xyz"},
        "orientation.w": np.cos(angle),
    }
    chunk = {
        **key("key"),
        "digest": CHUNK.digest,
        "names": list(CHUNK.names),
        "space": int(CHUNK.space),
        "reference": int(CHUNK.reference),
        "horizon": 16,
        "dim": 6,
        "actions": CHUNK.actions.ravel(),
        "gripper": CHUNK.gripper,
        "step_duration.nanosec": 50 * MS,
        "execute_steps": 6,
    }
    record = {
        **key("key"),
        "digest": CHUNK.digest,
        "source": POLICY,
        "state": AUTONOMOUS,
        "gripper": 1.0,
        **{f"measured.pose.{name}": value for name, value in measured.items()},
        **{f"reference.{name}": value for name, value in measured.items()},
        **{f"target.{name}": value for name, value in target.items()},
    }
    state = {"state": AUTONOMOUS, "mode": GUARD, "episode_id": KEY.episode_id, **key("released")}
    scored = {**key("key"), "chunk_digest": CHUNK.digest, "nonconformity": score, "threshold": 1.0}
    pose = {f"pose.{name}": value for name, value in measured.items()}
    found: list[Row] = [
        (1 * MS, "/current_pose", "geometry_msgs/msg/PoseStamped", pose),
        (2 * MS, "/policy_node/chunk", OURS + "ActionChunk", chunk),
        (3 * MS, "/monitor_node/score", OURS + "FailureScore", scored),
        (4 * MS, "/supervisor_node/command", OURS + "CommandRecord", record),
        (5 * MS, "/supervisor_node/state", OURS + "SupervisorState", state),
    ]
    return [row for row in found if score is not None or not row[1].endswith("score")]


def audit(bag: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = main(["audit", str(bag), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_clean_bag(tmp_path: Path, write_bag: WriteBag, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = audit(write_bag(tmp_path / "bag", rows()), capsys)
    assert (code, found["violations"]) == (0, [])
    assert (found["chunks_executed"], found["unscored_chunks_executed"], found["unattested"]) == (1, 0, 0)
    assert found["largest_derivation_error"] < 1e-6


@pytest.mark.parametrize("score", [None, 2.0, float("nan")])
def test_an_unscored_chunk(
    score: float | None, tmp_path: Path, write_bag: WriteBag, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = audit(write_bag(tmp_path / "bag", rows(score)), capsys)
    assert (code, found["unscored_chunks_executed"], found["rules"]["I9"]) == (1, 1, 1)


def test_a_command_that_does_not_follow(
    tmp_path: Path, write_bag: WriteBag, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = audit(write_bag(tmp_path / "bag", rows(x=0.1101)), capsys)
    assert (code, found["rules"]["derived"]) == (1, 1)


def test_the_table_names_the_broken_rule(
    tmp_path: Path, write_bag: WriteBag, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(write_bag(tmp_path / "bag", rows(None)))]) == 1
    assert "without a passing score before" in capsys.readouterr().out


def test_what_is_no_recording_of_ours(tmp_path: Path, write_bag: WriteBag, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_bag(tmp_path / "other", [(1, "/x", "std_msgs/msg/Bool", {})])
    for wrong in (tmp_path, tmp_path / "nothing", other):
        assert main(["audit", str(wrong)]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    bag = write_bag(tmp_path / "bag", rows())
    assert main(["audit", str(bag), "--arm", "no_such_arm"]) == 2
