"""From a folder of rollouts to the table of detectors, a detector file, and what ``inspect`` says of both."""

from __future__ import annotations

import builtins
import csv
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vla_cli import cluster
from vla_cli.console import Console
from vla_cli.evaluation import sweep
from vla_cli.main import DONE, WRONG_INPUT, main
from vla_uq.detectors.file import load_detector
from vla_uq.errors import InputError
from vla_uq.evaluation.splits import Split, stratified
from vla_uq.rollouts.store import Rollout, RolloutMeta, RolloutStore


def fill(folder: Path, *, tasks: int = 4, episodes: int = 40, first_seed: int = 0, **more: Any) -> Path:
    """Rollouts whose failures have other features and are longer."""
    store = RolloutStore(folder)
    for task in range(tasks):
        for number in range(episodes):
            success = number % 3 != 0
            rng = np.random.default_rng(100 * task + number)
            steps = int(rng.integers(6, 9)) if success else 12
            features = rng.normal(size=(steps, 5)).astype(np.float32)
            features[:, 0] += 0 if success else 1.5
            known = {"policy_fingerprint": "p", "execute_steps": 6, "step_duration": 0.05, **more}
            seed = first_seed + number
            meta = RolloutMeta(f"t{task}-{seed:06}", f"task {task}", seed, "none", success, 6 * steps, **known)
            store.add(Rollout(meta, {"features": features}))
    return folder


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Path:
    return fill(tmp_path / "store")


def evaluate(store: Path, out: Path, *more: object) -> int:
    names = ["--detectors", "mahalanobis,vfd,counter,difficulty", "--seeds", "0,1", "--quick", "--processes", "1"]
    return main([str(word) for word in ("evaluate", "--rollouts", store, "--out", out, *names, *more)])


def test_a_folder_becomes_a_table_and_a_report(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, sheet = tmp_path / "report.html", tmp_path / "table.csv"
    assert evaluate(store, tmp_path / "out", "--html", page, "--csv", sheet) == DONE
    shown = capsys.readouterr().out
    assert re.search(r"mahalanobis +[01]\.\d{3} \([01]\.\d{3}–[01]\.\d{3}\)", shown)
    assert "counter (control)" in shown and "left out: vfd: vfd: rollouts lack a tensor" in shown
    with sheet.open() as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    assert float(rows["mahalanobis"]["unseen_roc_auc"]) > 0.8
    assert float(rows["counter"]["unseen_leaky"]) == 1.0 > float(rows["counter"]["unseen_roc_auc"])
    text = page.read_text()
    assert text.count("<img") == 5 and "t-SNE" not in text.split("<body>")[0]
    # Everything is inside: no picture, script or style is fetched.
    assert not re.search(r'(src|href)="(?!data:)', text) and "<script" not in text and "@import" not in text
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["fits.jsonl", "split-0.json", "split-1.json"]


def test_json_has_every_number(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(store, tmp_path / "out", "--json") == DONE
    document = json.loads(capsys.readouterr().out)
    assert document["best_unseen"] == "mahalanobis" and document["episodes"] == 160
    row = next(row for row in document["rows"] if row["row"] == "mahalanobis")
    assert {"seen_roc_auc_low", "unseen_pr_auc_macro", "unseen_twa", "unseen_by_condition", "to_best"} < set(row)
    assert len(row["chosen"]) == 2


def test_an_interrupted_comparison_goes_on_where_it_was(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(store, tmp_path / "out") == DONE
    first = capsys.readouterr().out
    kept = tmp_path / "out" / "fits.jsonl"
    lines = kept.read_text().splitlines()
    kept.write_text("\n".join([*lines[:-1], lines[-1][: len(lines[-1]) // 2]]) + "\n")
    fitted: list[str] = []
    real = sweep.run

    def counting(job: Any) -> Any:
        fitted.append(job.row.name)
        return real(job)

    monkeypatch.setattr(sweep, "run", counting)
    assert evaluate(store, tmp_path / "out") == DONE
    assert len(fitted) == 1 and capsys.readouterr().out == first
    assert evaluate(store, tmp_path / "out") == DONE and len(fitted) == 1
    RolloutStore(store).add(next(iter(RolloutStore(store))))  # written again: another file
    assert evaluate(store, tmp_path / "out") == DONE and len(fitted) > 1


def test_manifests_can_be_given_and_must_fit(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = stratified(RolloutStore(store).metas(), 7)
    split.save(tmp_path / "m.json")
    assert evaluate(store, tmp_path / "out", "--manifest", tmp_path / "m.json") == DONE
    assert Split.load(tmp_path / "out" / "split-0.json") == split and "seed 7" in capsys.readouterr().out
    other = fill(tmp_path / "other", tasks=2)
    assert evaluate(other, tmp_path / "out", "--manifest", tmp_path / "m.json") == WRONG_INPUT
    assert "not in the store" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--detectors", "nothing"), "unknown detector"),
        (("--seeds", "one"), "--seeds"),
        (("--seeds", "1,1"), "two splits have the same name"),
        (("--alpha", "1.5"), "--alpha"),
        (("--scheme", "random"), "--scheme"),
        (("--detectors", "vfd"), "no detector can be evaluated"),
    ],
)
def test_wrong_input_is_one_line(
    more: tuple[str, str], message: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(store, tmp_path / "out", *more) == WRONG_INPUT
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("vla-monitor: ") and message in last


def test_episodes_that_cannot_be_compared_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = fill(tmp_path / "store")
    fill(store, tasks=1, episodes=3, first_seed=900, mode="guard")
    assert evaluate(store, tmp_path / "out") == DONE
    assert "left out: 3 episodes halted or guarded" in capsys.readouterr().out
    assert evaluate(tmp_path / "empty", tmp_path / "out") == WRONG_INPUT
    assert "vla-monitor import" in capsys.readouterr().err


def test_ray_is_asked_for_by_name(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without_ray(name: str, *arguments: Any, **more: Any) -> Any:
        if name == "ray":
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without_ray)
    assert evaluate(store, tmp_path / "out", "--ray") == WRONG_INPUT
    assert "vla-monitor[ray]" in capsys.readouterr().err


def test_ray_runs_every_job_once_and_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with Ray's own calls; results come last first, as from a cluster."""
    calls: list[str] = []

    def remote(**options: Any) -> Callable[[Callable[[int], int]], Any]:
        assert options == {"num_cpus": 1}
        return lambda function: SimpleNamespace(remote=lambda job: f"{job}:{function(job)}")

    fake = SimpleNamespace(
        is_initialized=lambda: False,
        init=lambda **options: calls.append("init"),
        remote=remote,
        wait=lambda references, num_returns: (references[-1:], references[:-1]),
        get=lambda reference: int(reference.split(":")[1]),
        cancel=lambda reference, force: calls.append(f"cancel {reference}"),
        shutdown=lambda: calls.append("shutdown"),
    )
    monkeypatch.setitem(sys.modules, "ray", fake)
    found: Iterator[tuple[int, int]] = cluster.run_on_ray(lambda job: job * job, [1, 2, 3])
    assert sorted(found) == [(1, 1), (2, 4), (3, 9)] and calls == ["init", "shutdown"]
    calls.clear()
    stopped = cluster.run_on_ray(lambda job: job, [1, 2])
    next(stopped)
    stopped.close()
    assert calls == ["init", "cancel 1:1", "shutdown"]


def test_train_writes_a_detector_and_what_it_has_seen(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "knn.safetensors"
    words = ["train", "--rollouts", str(store), "--detector", "cosine_knn", "--out", str(out), "--sweep", "--json"]
    assert main(words) == DONE
    told = json.loads(capsys.readouterr().out)
    fitted = load_detector(out)
    assert fitted.detector.name == "cosine_knn" and fitted.policy_fingerprint == "p"
    assert told["candidate"] == fitted.provenance["chosen"]["candidate"] and told["tried"] > 3
    assert told["episodes"] == len(fitted.episodes) == len(set(fitted.episodes))
    assert told["episodes_untouched"] == 160 - len(fitted.episodes) == pytest.approx(48, abs=6)
    rollout = next(iter(RolloutStore(store)))
    assert fitted.detector.score(rollout).shape == (len(rollout.tensor("features")),)
    assert main(["inspect", str(out), "--json"]) == DONE
    shown = json.loads(capsys.readouterr().out)
    assert (shown["detector"], shown["episodes"]) == ("cosine_knn v1", len(fitted.episodes))


def test_train_leaves_the_seeds_kept_for_calibration_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = fill(tmp_path / "store", first_seed=100_000)
    fill(store, first_seed=200_000, tasks=1)
    words = ["train", "--rollouts", str(store), "--detector", "mahalanobis", "--out", str(tmp_path / "d")]
    assert main([*words, "--json"]) == DONE
    assert len(load_detector(tmp_path / "d").episodes) == 160
    assert not any("-2000" in name for name in load_detector(tmp_path / "d").episodes)
    capsys.readouterr()
    assert main([*words, "--train-on", "push"]) == WRONG_INPUT
    assert "push" in capsys.readouterr().err
    assert main([*words, "--keep", "2"]) == WRONG_INPUT
    assert "--keep" in capsys.readouterr().err


def test_a_control_cannot_go_into_a_file(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--rollouts", str(store), "--detector", "counter", "--out", str(tmp_path / "d")]
    assert main(words) == WRONG_INPUT
    assert "control" in capsys.readouterr().err and not (tmp_path / "d").exists()


def test_inspect_counts_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = fill(tmp_path / "store", tasks=2, episodes=6)
    assert main(["inspect", str(store), "--json"]) == DONE
    document = json.loads(capsys.readouterr().out)
    assert document["rows"][0] == {
        "task": "task 0", "condition": "none", "n": 6, "successes": 4, "failures": 2, "unlabelled": 0,
    }  # fmt: skip
    assert (document["episodes"], document["tensors"]) == (12, {"features": 12})
    assert main(["inspect", str(tmp_path)]) == WRONG_INPUT


def test_kept_results_of_an_unreadable_file_are_none(tmp_path: Path) -> None:
    (tmp_path / "fits.jsonl").write_text('not json\n{"key": "a"}\n{"key": "b", "result": {}}\n')
    assert sweep.kept(tmp_path / "fits.jsonl") == {} == sweep.kept(tmp_path / "none")


def test_stages_are_told_in_tenths(capsys: pytest.CaptureFixture[str]) -> None:
    tell = Console().stages()
    for done in range(101):
        tell(done, 100, "training")
    assert len(capsys.readouterr().err.splitlines()) == 11


def test_episodes_of_two_policies_make_no_detector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = fill(tmp_path / "store", tasks=1)
    fill(store, tasks=1, first_seed=500, policy_fingerprint="q")
    words = ["train", "--rollouts", str(store), "--detector", "mahalanobis", "--out", str(tmp_path / "d")]
    assert main(words) == WRONG_INPUT
    assert "p, q" in capsys.readouterr().err
    with pytest.raises(InputError, match="is another kind of file"):
        load_detector(RolloutStore(store).path("t0-000000"))
