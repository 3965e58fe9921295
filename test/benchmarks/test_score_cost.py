"""The cost of scores: every detector that a flow policy's trace allows has its row, and the numbers add up."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")
from benchmarks import score_cost
from vla_uq.detectors import DETECTORS


def test_a_row_for_each_score_and_the_headline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"EPISODES": 40, "LENGTH": 12, "FEATURES": 16, "REPETITIONS": (8, 8)}.items():
        monkeypatch.setattr(score_cost, name, value)
    rows, headline = score_cost.measure(quick=True)
    assert set(headline) == {"cosine_knn_step_ms", "flow_score_set_ms"}
    found = {row["what"]: row for row in rows}
    scored = {name for name in DETECTORS if found.get(name, {}).get("n")}
    assert {"vfd", "safe_mlp", "mahalanobis", "cosine_knn", "pca_kmeans", "rnd", "logpzo", "rnd_oe", "stac"} <= scored
    assert not {name for name in found if name.startswith("token_")} | {"counter", "difficulty"} & set(found)
    assert all(row["note"] for row in rows if not row["n"])
    together = rows[-1]
    assert together["what"] == f"all {len(scored)} scores"
    assert headline["flow_score_set_ms"] == together["median"] >= max(found[name]["median"] for name in scored)
