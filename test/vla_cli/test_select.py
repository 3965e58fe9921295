"""``vla-monitor select`` on stores of recorded candidates: what it chooses, how it explains it, what it refuses."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vla_cli.main import DONE, WRONG_INPUT, main
from vla_uq.detectors import Mahalanobis
from vla_uq.detectors.file import fitted_to, save_detector
from vla_uq.flow.quadrature import grid
from vla_uq.rollouts.store import Rollout, RolloutMeta, RolloutStore
from vla_uq.uncertainty.action_l2 import action_l2
from vla_uq.uncertainty.gu import log_variance
from vla_uq.uncertainty.vfd import vfd

TIMES = grid(5)[1:].astype(np.float32)
LEVELS = {"close": 0.2, "open": 1.0, "stack": 3.0}
"""Disagreement of the members by task; the higher an episode's number, the more."""
EPISODES = 4


def tensors(level: float, seed: int) -> dict[str, np.ndarray]:
    """Two inferences, the second of which must not matter."""
    rng = np.random.default_rng(seed)
    velocities = rng.normal(size=(1, 2, 2, len(TIMES), 3, 2))
    velocities[:, 1] = velocities[:, 0] + level
    chunks = np.stack([(own := rng.normal(size=(2, 3, 2))), own + level])
    first = {"velocities": velocities, "samples": chunks, "features": rng.normal(size=4) + level}
    both = {name: np.stack([value, rng.normal(size=value.shape)]).astype(np.float32) for name, value in first.items()}
    return {**both, "flow_times": np.stack([TIMES, TIMES])}


def add(folder: Path, task: str, number: int, **more: Any) -> Rollout:
    level = LEVELS.get(task, 1.0) * (1 + 0.1 * number)
    values = {**tensors(level, 100 * len(task) + number), **more.pop("tensors", {})}
    values = {name: value for name, value in values.items() if value is not None}
    known = {"policy_fingerprint": "p", **more}
    rollout = Rollout(RolloutMeta(f"{task}-{number}", task, number, "none", None, 6, **known), values)
    RolloutStore(folder).add(rollout)
    return rollout


@pytest.fixture(name="store", scope="module")
def _store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("candidates")
    for task in LEVELS:
        for number in range(EPISODES):
            add(folder, task, number)
    return folder


def select(store: Path, *more: object) -> int:
    return main([str(word) for word in ("select", "--candidates", store, *more)])


def chosen_by(capsys: pytest.CaptureFixture[str], store: Path, *more: object) -> dict[str, Any]:
    assert select(store, *more, "--json") == DONE
    return dict(json.loads(capsys.readouterr().out))


def ids(document: Mapping[str, Any]) -> list[str]:
    return [one["episode_id"] for one in document["chosen"]]


def test_the_table_tells_why(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert select(store, "--budget", 3, "--temperature", 50) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Round 0: 3 of 12 candidates by save on vfd, temperature 50, seed 0"
    assert lines[1].split() == ["task", "episodes", "mean", "u", "P", "drawn"]
    assert lines[3].split()[:2] == ["stack", "4"] and lines[3].split()[-2:] == ["1", "3"]
    (best,) = (line for line in lines if "stack-3" in line)
    assert best.split()[0] == "1" and best.endswith("1 of 4")


SCORES = {
    "vfd": (lambda t: vfd(t["velocities"], t["flow_times"]), 2.5),
    "action_l2": (lambda t: action_l2(t["samples"]), 1.5),
    "gu": (lambda t: log_variance(t["samples"]), 1.0),
}


@pytest.mark.parametrize("name", SCORES)
def test_every_u_and_p_can_be_derived_again(name: str, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score, temperature = SCORES[name]
    document = chosen_by(capsys, store, "--score", name)
    log = document["log"]
    assert (log["uncertainty"], log["temperature"]) == (name, temperature)
    raw = {r.meta.episode_id: score({k: v[0] for k, v in r.tensors.items()}) for r in RolloutStore(store)}
    assert log["episodes"] == pytest.approx({e: u + log["lift"] for e, u in raw.items()})
    assert (log["lift"] != 0) == (name == "gu")
    means = {task: np.mean([log["episodes"][f"{task}-{i}"] for i in range(EPISODES)]) for task in LEVELS}
    total = sum(mean**temperature for mean in means.values())
    for row in document["rows"]:
        assert row["mean_u"] == pytest.approx(means[row["task"]])
        assert row["P"] == pytest.approx(means[row["task"]] ** temperature / total)
    assert [row["task"] for row in document["rows"]] == ["stack", "open", "close"]
    drawn = Counter(one["task"] for one in document["chosen"])
    assert {row["task"]: row["drawn"] for row in document["rows"]} == {task: drawn[task] for task in LEVELS}
    for one in document["chosen"]:
        own = sorted((log["episodes"][f"{one['task']}-{i}"] for i in range(EPISODES)), reverse=True)
        assert one["u"] == log["episodes"][one["episode_id"]] == own[one["rank"] - 1]
        assert one["rank"] <= drawn[one["task"]] and one["episode_id"] == f"{one['task']}-{one['seed']}"


@given(
    budget=st.integers(1, 12),
    seed=st.integers(0, 10**6),
    strategy=st.sampled_from(["save", "random", "diversity"]),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_round_keeps_to_its_budget_and_repeats_with_its_seed(
    store: Path, capsys: pytest.CaptureFixture[str], budget: int, seed: int, strategy: str
) -> None:
    words = ("--budget", budget, "--seed", seed, "--strategy", strategy)
    document = chosen_by(capsys, store, *words)
    assert len(ids(document)) == budget == len(set(ids(document)))
    assert sum(row["drawn"] for row in document["rows"]) == budget
    assert sum(row["episodes"] for row in document["rows"]) == 12
    if strategy == "save":
        assert sum(row["P"] for row in document["rows"]) == pytest.approx(1)
        assert all(sum(draw["P"].values()) == pytest.approx(1) for draw in document["log"]["draws"])
    assert chosen_by(capsys, store, *words) == document


@pytest.mark.parametrize("strategy", ["save", "random", "diversity"])
def test_rounds_add_up_and_show_nothing_twice(
    strategy: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "deep" / "rounds.json"
    words = ("--budget", 5, "--strategy", strategy, "--out", file)
    first = chosen_by(capsys, store, *words)
    second = chosen_by(capsys, store, *words, "--acquired", file)
    assert (first["round"], second["round"]) == (0, 1)
    assert not set(ids(first)) & set(ids(second))
    assert sum(row["shown_before"] for row in second["rows"]) == 5
    kept = json.loads(file.read_text())["rounds"]
    assert [ids(one) for one in kept] == [ids(first), ids(second)] and list(file.parent.iterdir()) == [file]
    before = file.read_bytes()
    assert select(store, *words, "--acquired", file) == WRONG_INPUT
    assert "the 2 of 12 candidates that are eligible; found 5" in capsys.readouterr().err
    assert file.read_bytes() == before
    assert len(ids(chosen_by(capsys, store, "--budget", 2, "--strategy", strategy, "--acquired", file))) == 2


def test_repeats_when_asked(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--budget", 4, "--temperature", 50, "--repeat", "--out", tmp_path / "r.json")
    first = chosen_by(capsys, store, *words)
    second = chosen_by(capsys, store, *words, "--acquired", tmp_path / "r.json")
    assert set(ids(first)) == set(ids(second)) == {f"stack-{i}" for i in range(4)}
    assert chosen_by(capsys, store, "--acquired", tmp_path / "r.json", "--round", 7)["round"] == 7


def test_padding_and_the_tail_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        rollout = add(tmp_path / "plain", "open", number)
        padded = {}
        for name in ("velocities", "samples"):
            value = rollout.tensor(name)
            columns = np.concatenate([value, np.full((*value.shape[:-1], 2), np.nan, np.float32)], axis=-1)
            padded[name] = np.concatenate([columns, columns[..., :1, :] * 1e6], axis=-2)
        add(tmp_path / "padded", "open", number, tensors=padded)
    for name in SCORES:
        plain = chosen_by(capsys, tmp_path / "plain", "--score", name, "--budget", 1)
        found = chosen_by(capsys, tmp_path / "padded", "--score", name, "--budget", 1, "--dims", 2, "--steps", 3)
        assert found["log"] == plain["log"]
        assert select(tmp_path / "padded", "--score", name, "--budget", 1) == WRONG_INPUT
        assert f"open-0: {name}: is not finite" in capsys.readouterr().err


def test_any_fitted_detector_can_be_the_uncertainty(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detector, rollouts = Mahalanobis(), list(RolloutStore(store))
    calm = [Rollout(RolloutMeta(f"calm-{i}", "c", i, "none", True, 6, "p"), rollouts[i].tensors) for i in range(4)]
    detector.fit(calm)
    save_detector(tmp_path / "d", fitted_to(detector, [rollout.meta for rollout in calm]))
    document = chosen_by(capsys, store, "--detector", tmp_path / "d")
    u = {r.meta.episode_id: detector.score(r)[0] + document["log"]["lift"] for r in rollouts}
    assert document["log"]["uncertainty"] == "mahalanobis"
    assert document["log"]["episodes"] == pytest.approx(u)
    save_detector(tmp_path / "d", fitted_to(detector, [rollout.meta for rollout in rollouts]))
    assert select(store, "--detector", tmp_path / "d") == DONE
    assert "12 candidates are among the episodes that mahalanobis was fitted to" in capsys.readouterr().err
    assert select(store, "--detector", tmp_path / "d", "--score", "vfd") == WRONG_INPUT
    assert "expected mahalanobis; found vfd" in capsys.readouterr().err
    other = RolloutMeta("x", "t", 0, "none", True, 6, "q")
    save_detector(tmp_path / "d", fitted_to(detector, [other]))
    assert select(store, "--detector", tmp_path / "d") == WRONG_INPUT
    assert "another policy; expected p; found q" in capsys.readouterr().err


LONGER = {"velocities": np.zeros((2, 1, 2, 2, len(TIMES), 4, 2), np.float32)}
LATER = {"flow_times": np.tile(TIMES + np.float32(0.1), (2, 1))}


@pytest.mark.parametrize(
    ("odd", "words", "message"),
    [
        ({"policy_fingerprint": "q"}, (), "candidates of several policies; expected one"),
        ({"tensors": {"velocities": None}}, (), "odd-9: velocities: rollout lacks a tensor"),
        ({"tensors": {"samples": None}}, ("--score", "gu"), "--draws 10"),
        ({"tensors": {"features": None}}, ("--strategy", "diversity"), "odd-9: features"),
        ({"tensors": LONGER}, (), "odd-9: velocities: differs from the other candidates"),
        ({"tensors": LATER}, (), "odd-9: flow_times: differ from the other candidates"),
        ({"tensors": {"features": np.full((2, 4), np.inf)}}, ("--strategy", "diversity"), "features: is not finite"),
        ({"tensors": {"features": np.zeros((2, 4), int)}}, ("--strategy", "diversity"), "floating point; found int64"),
    ],
    ids=["policies", "velocities", "samples", "features", "shape", "times", "infinite", "integers"],
)  # fmt: skip
def test_one_odd_candidate_is_named(
    odd: dict[str, Any], words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        add(tmp_path / "c", "close", number)
    add(tmp_path / "c", "odd", 9, **odd)
    assert select(tmp_path / "c", "--budget", 2, "--out", tmp_path / "out.json", *words) == WRONG_INPUT
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("candidates", [0, 1])
def test_there_must_be_a_choice(candidates: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(candidates):
        add(tmp_path, "close", number)
    assert select(tmp_path, "--budget", 1) == WRONG_INPUT
    assert "nothing to choose between; expected 2 candidates or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--budget", "0"), "--budget: cannot be met; expected 1 or more"),
        (("--budget", "13"), "no more than the 12 of 12"),
        (("--temperature", "-1"), "temperature: must be finite and not negative"),
        (("--temperature", "nan"), "temperature: must be finite and not negative"),
        (("--score", "entropy"), "expected vfd, action_l2, gu, or a detector; found entropy"),
        (("--steps", "9"), "steps: outside the chunk; expected 1 to 3; found 9"),
        (("--dims", "0"), "dims: outside the chunk"),
        (("--strategy", "random", "--score", "vfd"), "--score: is an option of --strategy save"),
        (("--feature", "features"), "--feature: is an option of --strategy diversity"),
        (("--strategy", "diversity", "--repeat"), "never repeats"),
        (("--strategy", "diversity", "--feature", "nothing"), "nothing: rollout lacks a tensor"),
        (("--round", "-1"), "--round"),
        (("--detector", "none.safetensors"), "none.safetensors: no such file"),
        (("--acquired", "none.json"), "none.json: cannot be read"),
    ],
)
def test_wrong_input_is_one_line(
    words: tuple[str, ...], message: str, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert select(store, *words) == WRONG_INPUT
    assert message in capsys.readouterr().err.splitlines()[-1]
