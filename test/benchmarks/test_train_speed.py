"""The published loop as it is timed: its losses, and a table with every number that is promised."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("benchmarks")  # not installed: needs the source tree as the working directory
torch = pytest.importorskip("torch")

from benchmarks import safe_data, safe_reference, train_speed  # noqa: E402
from benchmarks.report import Options  # noqa: E402
from benchmarks.safe_data import Material  # noqa: E402
from vla_cli.console import Console  # noqa: E402
from vla_uq.detectors.safe_training_loss import class_weights  # noqa: E402

LENGTHS, FAILED = torch.tensor([3, 2, 2]), torch.tensor([False, True, True])


@pytest.fixture(autouse=True)
def _few_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_data, "SELECTION", 40)
    monkeypatch.setattr(safe_data, "TEST", 40)


def batch_loss(net: safe_reference.Reference, scores: torch.Tensor) -> float:
    mask = torch.arange(3)[None] < LENGTHS[:, None]
    each = (net.terms(scores, FAILED) * mask).sum(1) / mask.sum(1)
    return float((torch.where(FAILED, *class_weights(FAILED.numpy())) * each).mean())


def test_golden_losses_of_the_published_loop() -> None:
    mlp, lstm = safe_reference.ReferenceMlp(1), safe_reference.ReferenceLstm(1)
    probabilities = torch.sigmoid(torch.tensor([[0.0, 1.0, -1.0], [1.0, 2.0, 0.0], [0.0, 0.0, 0.0]]))
    assert batch_loss(mlp, torch.cumsum(probabilities, 1)) == pytest.approx(-0.101976, abs=1e-6)
    scores = torch.tensor([[0.2, 0.3, 0.4], [0.6, 0.9, 0.5], [0.5, 0.5, 0.5]])
    assert batch_loss(lstm, scores) == pytest.approx(0.515521, abs=1e-6)


def test_published_loop_learns_and_is_looked_at_evenly() -> None:
    torch.manual_seed(0)
    material, net = Material.draw(100, 10, 8, world=1), safe_reference.ReferenceMlp(8, 16)
    scores = partial(safe_reference.reference_scores, net)
    before = material.auc(scores, material.selection)
    epochs = list(
        safe_reference.train_reference(
            net, material.training, 1e-2, 1e-3, 40, 4, lambda _: material.auc(scores, material.selection)
        )
    )
    assert [not np.isnan(epoch.auc) for epoch in epochs] == 4 * [*9 * [False], True]
    assert epochs[-1].auc > before + 0.1
    assert sorted(epoch.seconds for epoch in epochs) == [epoch.seconds for epoch in epochs]


def test_made_up_episodes_differ_in_their_parts_and_share_their_world() -> None:
    one, again, other = (Material.draw(20, 10, 8, world) for world in (0, 0, 1))
    for a, b in zip(one.training.features, again.training.features, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one.training.features[0], one.selection.features[0])
    assert not np.array_equal(one.training.features[0], other.training.features[0])
    lengths = one.training.lengths
    assert (lengths[one.training.failed] == 10).all()
    assert lengths.min() >= 6


def test_table_has_every_promised_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def others(quick: bool) -> tuple[list[dict[str, Any]], dict[str, float]]:
        assert quick
        return [{"what": "cosine_knn"}], {"cosine_knn_step_ms": 1.0, "flow_score_set_ms": 2.0}

    monkeypatch.setattr(train_speed.score_cost, "measure", others)
    monkeypatch.setattr(train_speed, "QUICK", train_speed.Size(30, 8, 8, {"safe_mlp": 2, "safe_lstm": 1}))
    for name, value in {"EPOCHS": 4, "LOOKS": 2, "HIDDEN": 8, "STEPS": 20, "STARTS": 1, "FEATURES": 16}.items():
        monkeypatch.setattr(train_speed, name, value)
    result = train_speed.run(Options(True, 0, tmp_path), Console())
    assert set(result.headline) == {
        *("mlp_speedup", "lstm_speedup", "mlp_step_us", "lstm_step_us"),
        *("cosine_knn_step_ms", "flow_score_set_ms"),
    }
    counts = {row["what"]: row.get("n") for row in result.rows}
    assert (counts["safe_mlp: speed-up"], counts["safe_lstm: speed-up"]) == (2, 1)
    assert counts["safe_lstm: a step with 16 features"] == 20
    assert result.rows[-1] == {"what": "cosine_knn"}
