"""From a store to the paper's table, and from benchmark files to the page of results."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("benchmarks")  # not installed: needs the source tree as the working directory

from benchmarks import failure_detection, report, results
from benchmarks.failure import beds, conditions, published
from vla_cli.console import Console
from vla_uq.detectors import DETECTORS
from vla_uq.errors import InputError
from vla_uq.evaluation.grids import ORACLE
from vla_uq.rollouts.store import Rollout, RolloutMeta, RolloutStore


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Path:
    """Failures have other features, and are more frequent in some tasks and conditions."""
    store = RolloutStore(tmp_path / "store")
    for number in range(240):
        task, condition = number % 4, ("none", "push")[number // 4 % 2]
        rng = np.random.default_rng(number)
        success = bool(rng.random() > (0.2, 0.3, 0.4, 0.6)[task])
        steps = int(rng.integers(6, 9)) if success else 12
        features = rng.normal(size=(steps, 4)).astype(np.float32) + (0 if success else 1)
        known = {"policy_fingerprint": "p", "execute_steps": 6, "step_duration": 0.05}
        meta = RolloutMeta(f"e{number:04}", f"task {task}", number, condition, success, 6 * steps, **known)
        store.add(Rollout(meta, {"features": features}))
    return store.folder


@pytest.fixture(name="made")
def _made(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    names = ("mahalanobis", "vfd", "counter", "difficulty", "difficulty_oracle")
    monkeypatch.setattr(failure_detection, "sources", lambda *_: [beds.Source("flow", store, names)])
    words = ["--quick", "--out", str(tmp_path), "--processes", "1"]
    code = report.command("failure_detection", failure_detection.run, beds.FIRST, words, failure_detection.own)
    assert code == 0
    return json.loads((tmp_path / "failure_detection.json").read_text())


def test_the_table_has_both_controls_and_the_published_figures(made: dict[str, Any]) -> None:
    rows = {row["detector"]: row for row in made["rows"]}
    assert list(rows) == ["mahalanobis", *sorted(list(rows)[1:], key=lambda name: -rows[name]["unseen"])]
    best = rows["mahalanobis"]
    assert best["best_unseen"] and best["unseen_low"] <= best["unseen"] <= best["unseen_high"]
    assert (best["paper_seen"], best["paper_unseen"]) == published.SEEN_UNSEEN["mahalanobis"]
    assert set(best["unseen_by_condition"]) == {"none", "push"}
    assert rows["counter"]["unseen_leaky"] == 1.0 and rows["counter"]["control"]
    assert any("left out (flow policy): vfd" in note for note in made["notes"])
    head = made["headline"]
    assert (head["rows"], head["rollouts"], head["controls"]) == (1, 240, 3)
    assert head["best_unseen"] == best["unseen"] == head["mahalanobis_unseen"]
    assert head["counter_unseen"] == rows["counter"]["unseen"]
    assert all(isinstance(value, (int, float)) for value in head.values())
    assert made["command"] == f"python -m benchmarks.failure_detection --quick --processes 1 --seed {beds.FIRST}"


def test_novelty_is_told_from_failure_by_condition(made: dict[str, Any]) -> None:
    seen, unseen = made["tables"]
    assert seen["columns"] == unseen["columns"] == ["detector", "policy", "all", "nominal", "pushed"]
    assert seen["title"].startswith("Per disturbance, seen tasks, alpha 0.1: AUC")
    assert [row["detector"] for row in seen["rows"]] == [row["detector"] for row in made["rows"]]
    row = seen["rows"][0]
    numbers = row["conditions"]["none"]
    assert (numbers["successes"], numbers["failures"]) == (14, 6) and 0.5 < numbers["roc_auc"] <= 1
    assert 1 >= numbers["constant_far"] >= numbers["constant_far_matched"] >= 0
    assert 1 >= numbers["constant_tpr"] >= numbers["constant_tpr_matched"] > 0
    assert numbers["functional_far"] is None and "too few" in numbers["functional_refused"]  # of 10 nominal successes
    caught, false = (100 * numbers[f"constant_{rate}"] for rate in ("tpr_matched", "far"))
    assert row["nominal"] == f"{numbers['roc_auc']:.2f} · {caught:.0f}/{false:.0f} · –/–"
    assert any(note.startswith("Successes + failures, flow policy, seen tasks: all ") for note in made["notes"])


def test_conditions_without_failures_or_thresholds_have_dashes() -> None:
    rates = {f"{t}_{rate}": math.nan for t in ("constant", "functional") for rate in ("tpr_matched", "far")}
    known = {"row": "vfd", "policy": "flow", "tasks": "seen", "roc_auc": math.nan, "successes": 3, "failures": 0}
    row = {**known, **rates, "condition": "fog", "constant_refused": "too few", "functional_refused": ""}
    (table,) = conditions.tables([row], 0.1)
    assert table.columns == ("detector", "policy", "fog") and table.rows[0]["fog"] == "– · –/– · –/–"
    assert conditions.notes([row], 0.1)[1:] == [
        "Successes + failures, flow policy, seen tasks: fog 3+0.",
        "Missing on a split: constant threshold: too few",
    ]


def test_every_detector_has_a_row_somewhere() -> None:
    """Token scores on the token policy's rollouts, all others on the flow policy's."""
    assert set(beds.TOKEN_ROWS) < set(DETECTORS) and set(beds.BESIDE_TOKENS) < {*DETECTORS, ORACLE}
    assert set(published.SEEN_UNSEEN) < set(DETECTORS)


def test_rows_of_two_policies_stay_apart() -> None:
    def line(detector: str, policy: str, unseen: float, control: bool = False) -> dict[str, Any]:
        best = detector == "vfd"
        return {
            "detector": detector, "policy": policy, "control": control, "unseen": unseen, "seen": 0.8,
            "unseen_within_task": 0.7, "best_unseen": best,
        }  # fmt: skip

    rows = [
        line("counter", "flow", 0.5, True),
        line("vfd", "flow", 0.8),
        line("safe_mlp", "flow", math.nan),
        line("safe_mlp", "tokens", 0.95),
        line("token_max_prob", "tokens", 0.6),
        line("counter", "tokens", 0.55, True),
    ]
    order = failure_detection._ordered(rows)
    assert [(row["policy"], row["detector"]) for row in order] == [
        ("flow", "vfd"),
        ("flow", "safe_mlp"),
        ("flow", "counter"),
        ("tokens", "safe_mlp"),
        ("tokens", "token_max_prob"),
        ("tokens", "counter"),
    ]
    head = failure_detection.headline(rows, 10)
    assert (head["best_unseen"], head["controls"], head["rows"]) == (0.8, 1, 4)
    assert (head["counter_unseen"], head["counter_of_token_policy_unseen"]) == (0.5, 0.55)
    assert head["best_token_unseen"] == head["token_max_prob_unseen"] == 0.6


def test_rollouts_can_be_given(store: Path, tmp_path: Path) -> None:
    options = report.Options(True, 0, tmp_path, {"rollouts": store})
    assert beds.sources(options, Console()) == [beds.Source("given", store)]


def test_rollouts_of_another_policy_are_not_mixed_in(store: Path) -> None:
    from vla_cli.shipped import policy_folder

    with pytest.raises(InputError, match="of another policy"):
        beds.collect(store, policy_folder(None), range(1), True, Console())


def test_the_page_of_results(made: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, page = tmp_path / "results", tmp_path / "results.md"
    words = ["--from", str(folder), "--out", str(page), "--take", str(tmp_path / "failure_detection.json")]
    assert results.main(words) == 0
    (folder / "failure_detection.md").write_text("What differs, and why.\n")
    assert results.main(words[:4]) == 0
    text = page.read_text()
    assert text.index("# Results") < text.index(made["title"]) < text.index("| detector | policy | seen | unseen |")
    assert made["command"] in text and text.rstrip().endswith("</sub>") and "What differs, and why." in text
    row, *_ = [line for line in text.splitlines() if line.startswith("| mahalanobis |")]
    assert "**Per disturbance, seen tasks" in text and "| detector | policy | all | nominal | pushed |" in text
    assert "–" in row and row.count("|") == len(text.split("| detector")[1].split("\n")[0].split("|"))
    assert results.main(["--from", str(tmp_path / "nowhere"), "--out", str(page)]) == 2
    (folder / "broken.json").write_text("{}")
    assert results.main(words[:4]) == 2
    assert "broken.json: title: is missing" in capsys.readouterr().err
