"""Thresholds per task: alpha for each task, the pooled threshold for the others and the reason why."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_uq.calibration.methods import METHODS
from vla_uq.calibration.mondrian import PerTask, fit_per_task
from vla_uq.errors import InputError

Episode = dict[str, np.ndarray]


def episode(rng: np.random.Generator, size: float) -> Episode:
    return {"vfd": size * np.cumsum(rng.normal(0.2, 1, int(rng.integers(5, 12))))}


def pile(rng: np.random.Generator, easy: int, hard: int, rare: int = 0) -> tuple[list[Episode], list[str]]:
    tasks = ["easy"] * easy + ["hard"] * hard + ["rare"] * rare
    order = rng.permutation(len(tasks))
    shuffled = [tasks[i] for i in order]
    return [episode(rng, 3.0 if task == "hard" else 1.0) for task in shuffled], shuffled


@pytest.mark.parametrize("method", METHODS)
def test_alpha_holds_for_each_task(method: str) -> None:
    rng = np.random.default_rng(0)
    rates: dict[str, list[float]] = {"easy": [], "hard": [], "hard, pooled": []}
    for repetition in range(150):
        pooled, per_task = fit_per_task(*pile(rng, 40, 20), 0.2, repetition, method=method)
        fresh = {size: [episode(rng, size) for _ in range(30)] for size in (1.0, 3.0)}
        for name, size, monitor in (
            ("easy", 1.0, per_task.own["easy"]),
            ("hard", 3.0, per_task.own["hard"]),
            ("hard, pooled", 3.0, pooled),
        ):
            rates[name].append(np.mean([monitor.alarm_step(e) is not None for e in fresh[size]]))
    for name in ("easy", "hard"):
        assert np.mean(rates[name]) <= 0.2 + 3 * np.std(rates[name]) / math.sqrt(150)
    assert np.mean(rates["hard"]) >= 0.11
    assert np.mean(rates["hard, pooled"]) > 0.3


def test_a_split_takes_its_share_of_every_task() -> None:
    episodes, tasks = pile(np.random.default_rng(1), 20, 20, 2)
    pooled, per_task = fit_per_task(episodes, tasks, 0.1, seed=0)
    assert {task: own.n_calibration for task, own in per_task.own.items()} == {"easy": 14, "hard": 14}
    assert per_task.few == {"rare": 2}
    assert (pooled.n_fit, pooled.n_calibration) == (12, 30)
    _, crossed = fit_per_task(episodes, tasks, 0.1, seed=0, method="cross")
    assert {task: own.n_calibration for task, own in crossed.own.items()} == {"easy": 20, "hard": 20}


def test_who_is_judged_by_what_and_why_alpha_does_not_hold() -> None:
    episodes, tasks = pile(np.random.default_rng(1), 20, 20, 5)
    pooled, per_task = fit_per_task(episodes, tasks, 0.1, seed=0)
    assert per_task.decide("hard", pooled) == (per_task.own["hard"], "")
    assert per_task.own["hard"].threshold() > per_task.own["easy"].threshold()
    assert per_task.decide("rare", pooled) == (
        pooled,
        "task 'rare' has 3 of 9 calibration episodes: threshold of all tasks",
    )
    assert per_task.decide("new", pooled) == (pooled, "task 'new' is not in the calibration: threshold of all tasks")
    assert per_task.decide("", pooled) == (pooled, "the task is not known, and thresholds are per task")


def test_refuses_when_no_task_has_enough() -> None:
    episodes, tasks = pile(np.random.default_rng(1), 10, 8)
    with pytest.raises(
        InputError,
        match=r"expected 9 of a task for alpha 0.1; found at most n = 7, which allows alpha >= 0.125; record more",
    ):
        fit_per_task(episodes, tasks, 0.1, seed=0)


def test_state_round_trip_and_bad_state() -> None:
    episodes, tasks = pile(np.random.default_rng(1), 20, 20, 5)
    _, per_task = fit_per_task(episodes, tasks, 0.1, seed=0, method="cross")
    tensors, config = per_task.state()
    twin = PerTask.from_state(tensors, config)
    assert twin.few == per_task.few == {"rare": 5}
    for task, own in per_task.own.items():
        assert twin.own[task].threshold() == own.threshold()
        np.testing.assert_array_equal(twin.own[task].curve(episodes[0]), own.curve(episodes[0]))
    for changed, message in (
        ({"few": {}}, "per_task: own: is missing"),
        ({**config, "own": [3]}, "per_task: own 0: has the wrong type; expected dict; found int"),
        ({**config, "own": [{**config["own"][0], "task": 3}]}, "per_task: own 0: task: has the wrong type"),
        ({**config, "few": {"rare": "2"}}, "per_task: few: rare: has the wrong type"),
    ):
        with pytest.raises(InputError, match=message):
            PerTask.from_state(tensors, changed)
    with pytest.raises(InputError, match=r"per_task: own 1: varying/vfd/mean"):
        PerTask.from_state({k: v for k, v in tensors.items() if not k.startswith("1/")}, config)
