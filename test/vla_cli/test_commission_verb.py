"""`vla-monitor commission`: refused before anything moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_cli.main import WRONG_INPUT, main


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--out", "{tmp}/there.yaml"], "--force"),
        (["--out", "{tmp}/arm.json"], ".yaml"),
        (["--out", "{tmp}/nowhere/arm.yaml"], "no such folder"),
        (["--out", "{tmp}/arm.yaml"], "--yes"),
        (["--out", "{tmp}/arm.yaml", "--robot", "hexapod"], "hexapod"),
        (
            ["--out", "{tmp}/arm.yaml", "--robot", "franka_jtc", "--yes", "--simulated"],
            "franka_crisp_sim | widowx_xs_sim",
        ),
    ],
)
def test_refused_in_one_line(
    arguments: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rclpy")
    (tmp_path / "there.yaml").write_text("mine")
    given = [word.format(tmp=tmp_path) for word in arguments]
    assert main(["commission", "--robot", "franka_crisp_sim", *given]) == WRONG_INPUT
    assert named in capsys.readouterr().err
    assert (tmp_path / "there.yaml").read_text() == "mine" and not (tmp_path / "arm.yaml").exists()
