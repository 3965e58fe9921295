"""The table of what two computers say to each other: real messages, and sums that add up."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="real messages are serialised")
pytest.importorskip("mujoco", reason="of the simulated arm")
pytest.importorskip("onnxruntime", reason="by the policies that ship")
from benchmarks.bandwidth import STAYS, TO_ARM, TO_POLICY, run
from benchmarks.report import Options
from vla_cli.console import Console


def test_bytes_are_those_of_the_messages(tmp_path: Path) -> None:
    result = run(Options(quick=True, seed=0, out=tmp_path), Console())
    found = {(row["policy"], row["message"]): row for row in result.rows}
    assert len(found) == len(result.rows)
    assert {row["way"] for row in result.rows} == {TO_POLICY, TO_ARM, STAYS}
    chunk, trace = found["franka", "chunk"], found["franka", "trace"]
    # 16 actions of 6 numbers and 16 openings; 2 members on 9 nodes of 16 x 7 numbers, and the features.
    assert 4 * 16 * 7 < chunk["bytes"] < 1000 and 4 * 2 * 9 * 16 * 7 < trace["bytes"] < 20_000
    assert chunk["hz"] == pytest.approx(1 / 0.3, abs=0.01)
    raw = next(row for row in result.rows if row["policy"] == "cameras tabletop, raw")
    assert 0 <= raw["bytes"] - 3 * 256 * 256 < 100
    assert found["server libero", "request"]["bytes"] > 2 * 3 * 224 * 224
    for row in result.rows:
        assert row["kB_s"] == pytest.approx(row["bytes"] * row["hz"] / 1000, rel=0.01)
    shared = sum(row["kB_s"] for row in result.rows if row["policy"] in ("franka", "any") and row["way"] != STAYS)
    assert result.headline["policy_box_mbit_s"] == pytest.approx(shared * 8 / 1000)
    assert result.headline["raw_cameras_mbit_s"] > 10 * result.headline["policy_box_mbit_s"]
