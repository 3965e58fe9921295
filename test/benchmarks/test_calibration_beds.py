"""The calibration study on any bed: rounds are kept, pools come from the right tasks, controls and rows are exact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("mujoco")
pytest.importorskip("torch")

from benchmarks.calibration import beds
from benchmarks.calibration.__main__ import notes, row
from benchmarks.calibration.controls import NOT_PRETRAINED, OTHER_PAIRS, with_controls
from benchmarks.calibration.study import FIRST_SEED, SCORED, Bed, Measured, Plan, Study
from benchmarks.experts.contexts import Demonstrations
from benchmarks.experts.heads import Heads, Training
from benchmarks.experts.play import EXECUTED, Episode, Outcome, play_in
from benchmarks.report import Options
from vla_cli.console import Console
from vla_policy.nets import ACTION, CONTEXT, HORIZON

TASKS = ("lift", "push", "pour", "turn")
FEW = Training(steps=2, batch=8)
PLAN = Plan(TASKS, TASKS[::2], 1, budget=3, pretraining=4, episodes=2, first_seed=25, first=FEW, tuning=FEW)


def demonstrations(task: str, count: int) -> Demonstrations:
    rng = np.random.default_rng(len(task))
    contexts = rng.normal(size=(10 * count, CONTEXT)).astype(np.float32)
    chunks = rng.normal(size=(10 * count, HORIZON * ACTION)).astype(np.float32)
    return Demonstrations(task, contexts, chunks, np.repeat(np.arange(count), 10))


def succeed_at_half(episode: Episode) -> Outcome:
    """Pretrained tasks succeed, the others on every second seed."""
    context = np.random.default_rng([episode.seed, len(episode.task)]).normal(size=CONTEXT).astype(np.float32)
    return Outcome(episode.task in TASKS[::2] or episode.seed % 2 == 0, context)


def never(episode: Episode) -> Outcome:
    raise AssertionError("measured already")


@pytest.fixture
def bed() -> Bed:
    """One task has fewer demonstrations than are asked for, as where an expert fails now and then."""
    return Bed({task: demonstrations(task, 2 if task == "push" else 4) for task in TASKS}, succeed_at_half)


def test_a_study_measures_every_task_and_score_once(bed: Bed, tmp_path: Path) -> None:
    steps: list[int] = []

    def advance(n: int = 1, note: str = "") -> None:
        steps.append(n)

    measured = Study(bed, PLAN, 0, tmp_path, 1).run(advance)
    assert [(m.pair, m.index, m.said) for m in measured] == [(0, 0, ""), (0, 1, "")]
    for m in measured:
        assert m.success == {"lift": 1.0, "push": 0.5, "pour": 1.0, "turn": 0.5}
        assert set(m.scores) == set(SCORED)
        assert all(
            set(values) == set(TASKS) and np.isfinite(list(values.values())).all() for values in m.scores.values()
        )
    (tmp_path / "pair_0.jsonl").write_text((tmp_path / "pair_0.jsonl").read_text() + '{"pair": 0, "ind')  # killed
    again = Study(replace(bed, play=never), PLAN, 0, tmp_path, 1).run(advance)
    assert again == measured and sum(steps) == 4
    longer = Study(bed, replace(PLAN, rounds=2), 0, tmp_path, 1).run(advance)
    assert longer[:2] == measured and len((tmp_path / "pair_0.jsonl").read_text().splitlines()) == 3


def test_demonstrations_of_the_rounds_are_of_tasks_left_out_before_and_exist(bed: Bed, tmp_path: Path) -> None:
    study = Study(bed, replace(PLAN, rounds=20), 0, tmp_path, 1)
    assert [d.task for d in study._history()] == ["lift", "pour"]
    acquired = study._acquired(20)
    assert len(acquired) == 60 and {d.task for d in acquired} == {"push", "turn"}
    assert all(len(d.context) == 10 for d in acquired)


def test_the_table_top_is_measured_as_the_committed_table_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from benchmarks.experts import workshop

    asked: dict[str, object] = {}

    def open_workshop(folder: Path, tasks: object, count: int, iterations: int, console: Console) -> object:
        asked.update(folder=folder, count=count, iterations=iterations)
        return workshop.Workshop(Path("weights"), (), {})

    monkeypatch.setattr(workshop, "open_workshop", open_workshop)
    setting = beds.BEDS["tabletop"](Options(False, 0, tmp_path), Console())
    plan = setting.plan
    assert asked == {"folder": tmp_path / "experts", "count": 40, "iterations": 5500}
    assert (plan.rounds, plan.budget, plan.pretraining, plan.episodes, setting.pairs) == (3, 15, 20, 8, 3)
    assert (plan.first_seed, plan.first.steps, plan.tuning.steps) == (FIRST_SEED, 2000, 600)
    assert len(plan.tasks) >= 30 and set(plan.known) < set(plan.spoken) < set(plan.tasks)
    assert sorted((*plan.known, *plan.others)) == sorted(plan.tasks)


class Room:
    """Counts; the task is done after so many actions."""

    def __init__(self, horizon: int, done: int) -> None:
        self.horizon, self.done, self.taken, self.looks = horizon, done, 0, 0

    def enter(self, task: str, seed: int, said: str) -> None:
        self.taken = self.looks = 0

    @property
    def left(self) -> int:
        return self.horizon - self.taken

    def context(self) -> NDArray[np.float32]:
        self.looks += 1
        return np.full(CONTEXT, self.looks, np.float32)

    def act(self, action: NDArray[np.float64]) -> bool:
        assert action.shape == (ACTION,) and np.abs(action).max() <= 1
        self.taken += 1
        return self.taken == self.done


@pytest.mark.parametrize(("horizon", "done", "success", "taken"), [(20, 8, True, 8), (20, 99, False, 20)])
def test_an_episode_ends_with_success_or_at_the_horizon(
    horizon: int, done: int, success: bool, taken: int, tmp_path: Path
) -> None:
    Heads([0, 1]).save(tmp_path / "heads.safetensors")
    room = Room(horizon, done)
    outcome = play_in(room, Episode(None, tmp_path / "heads.safetensors", "lift", 3))
    assert (outcome.success, room.taken, room.looks) == (success, taken, -(-taken // EXECUTED))
    assert (outcome.context == 1).all()


def measurement(pair: int, success: dict[str, float], score: dict[str, float]) -> Measured:
    return Measured(pair, 0, success, {"vfd": score})


def test_controls_know_the_pretraining_and_the_other_pairs_only() -> None:
    first = measurement(0, dict(zip(TASKS, (1.0, 0.2, 0.8, 0.0), strict=True)), dict.fromkeys(TASKS, 0.0))
    second = measurement(1, dict(zip(TASKS, (0.6, 0.4, 1.0, 0.2), strict=True)), dict.fromkeys(TASKS, 0.0))
    found, names = with_controls([first, second], PLAN)
    assert set(names) == {NOT_PRETRAINED, OTHER_PAIRS}
    assert found[0].scores[NOT_PRETRAINED] == {"lift": 0.0, "push": 1.0, "pour": 0.0, "turn": 1.0}
    assert found[0].scores[OTHER_PAIRS] == pytest.approx({t: 1 - s for t, s in second.success.items()})
    assert first.scores.keys() == {"vfd"}
    alone, names = with_controls([first], PLAN)
    assert names == (NOT_PRETRAINED,) and OTHER_PAIRS not in alone[0].scores


def test_a_row_is_the_mean_over_rounds_of_pairs_that_vary() -> None:
    success = dict(zip(TASKS, (1.0, 0.8, 0.2, 0.0), strict=True))
    agrees = {task: 1 - value for task, value in success.items()}
    same = dict.fromkeys(TASKS, 1.0)
    measured = [measurement(0, success, agrees), measurement(1, success, success), measurement(1, same, agrees)]
    found = row("vfd", measured, PLAN)
    assert (found["pairs"], found["tasks"]) == (2, 4)
    assert (found["spearman"], found["spearman_std"]) == pytest.approx((0.0, 1.0))
    assert (found["pearson"], found["pearson_std"]) == pytest.approx((0.0, 1.0))
    assert found["rounds"] == 2 and np.isnan(found["by_round"][1])


def test_a_row_tells_rounds_and_halves_of_the_tasks_apart() -> None:
    success = dict(zip(TASKS, (1.0, 0.8, 0.2, 0.0), strict=True))
    known_right = dict(zip(TASKS, (0.0, 0.0, 1.0, -1.0), strict=True))  # of the others it has the order wrong
    later = Measured(0, 1, success, {"vfd": {task: -value for task, value in success.items()}})
    first = measurement(0, success, known_right)
    assert row("vfd", [first], PLAN)["known"] == pytest.approx(1.0)
    assert row("vfd", [first], PLAN)["others"] == pytest.approx(-1.0)
    both = row("vfd", [first, later], PLAN)
    assert (both["known"], both["others"]) == pytest.approx((1.0, 0.0))
    assert both["by_round"][1] == pytest.approx(1.0)
    assert both["spearman"] == pytest.approx(np.mean(both["by_round"]))


def test_controls_have_no_row_over_paraphrases() -> None:
    """They know tasks, not words: their row used to end in a KeyError where paraphrases were measured."""
    success = dict(zip(TASKS, (1.0, 0.8, 0.2, 0.0), strict=True))
    spoken = replace(measurement(0, {"lift": 1.0, "heave": 0.0}, {"lift": 0.0, "heave": 1.0}), said="lift")
    measured, (control,) = with_controls([measurement(0, success, success), spoken], PLAN)
    assert np.isnan(row(control, measured, PLAN)["words"])
    assert row("vfd", measured, PLAN)["words"] == pytest.approx(1.0)


def test_notes_say_how_well_each_half_of_the_tasks_went() -> None:
    (_, line) = notes(
        [measurement(0, dict(zip(TASKS, (1.0, 0.5, 0.5, 0.0), strict=True)), {})], replace(PLAN, rounds=0)
    )
    assert "0.75 on the tasks of the pretraining, 0.25 on the others" in line
