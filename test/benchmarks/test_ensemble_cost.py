"""The cost of watching, as a table: what is measured are the back ends that run on robots."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from benchmarks import ensemble_cost, ensemble_nets
from benchmarks.report import Options
from vla_cli.console import Console


def test_nets_have_the_sizes_that_are_said() -> None:
    assert ensemble_nets.parameters("mlp_1m") == pytest.approx(1.07e6, rel=0.02)
    assert ensemble_nets.parameters("transformer_5m") == pytest.approx(4.77e6, rel=0.02)


@pytest.mark.parametrize("net", [pytest.param("mlp_1m"), pytest.param("transformer_5m", marks=pytest.mark.drill)])
def test_every_variant_gets_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, net: str) -> None:
    monkeypatch.setattr(ensemble_cost, "MEMBERS", (1, 2))
    rows = ensemble_cost.measure(tmp_path, net, 2, "cpu", np.random.default_rng(0))
    found = {(r["back_end"], r["members"], r["nodes"], r["encoders"]) for r in rows}
    both = {(b, m, n, "one") for b in ("onnx", "torch") for m, n in ((1, "all"), (2, "all"), (2, "last 3"))}
    assert found == both | {("onnx", 2, "all", "own")}
    assert all(row["n"] == 2 and row["ratio"] > 0.5 and row["plain_ms"] > 0 for row in rows)


def test_the_headline_is_onnx_with_a_shared_encoder() -> None:
    def row(back_end: str, net: str, members: int, nodes: str, encoders: str, ratio: float) -> dict[str, Any]:
        return dict(zip(("back_end", "net", "members", "nodes", "encoders", "ratio"), locals().values(), strict=True))

    rows = [
        row("onnx", "mlp_1m", 2, "all", "one", 1.1),
        row("onnx", "mlp_1m", 2, "all", "own", 9.0),
        row("torch", "mlp_1m", 2, "all", "one", 9.0),
        row("onnx", "mlp_1m", 4, "all", "one", 1.4),
        row("onnx", "transformer_5m", 2, "all", "one", 1.5),
        row("onnx", "transformer_5m", 2, "last 3", "one", 1.2),
    ]
    assert ensemble_cost.headline(rows) == {
        "mlp_1m_m2": 1.1,
        "mlp_1m_m4": 1.4,
        "transformer_5m_m2": 1.5,
        "transformer_5m_m2_last3": 1.2,
    }


@pytest.mark.parametrize(
    ("python", "why"),
    [(None, "was given"), ("/nowhere/python", "No such file"), (sys.executable, "LeRobot cannot be used")],
)
def test_without_lerobots_environment_smolvla_is_left_out_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: str | None, why: str
) -> None:
    monkeypatch.setattr(ensemble_cost, "REPETITIONS", {})
    monkeypatch.setattr(ensemble_cost, "headline", lambda rows: {})
    own = {"device": "cpu", "lerobot_python": python}
    result = ensemble_cost.run(Options(True, 0, tmp_path, own), Console())
    assert math.isnan(result.headline["smolvla_shared_prefix_m2"])
    assert why in result.notes[0]
