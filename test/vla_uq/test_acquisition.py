"""Which demonstrations are chosen: SAVE's rules one by one, and the strategies that it is compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_uq.acquisition import Amf, Candidate, Diversity, Random, Save
from vla_uq.errors import InputError

TASKS = ("close", "open", "stack")
CANDIDATES = [Candidate(task, f"{task}-{i}") for task in TASKS for i in range(4)]
LEVEL = {"close": 0.1, "open": 1.0, "stack": 3.0}


def by_level(candidates: Sequence[Candidate]) -> np.ndarray:
    """A task's level, and within a task more for higher numbers."""
    return np.array([LEVEL[c.task] + 0.01 * int(c.episode_id[-1]) for c in candidates])


def shares(temperature: float, rounds: int = 400, **options: bool) -> Counter[str]:
    save = Save(by_level, budget=1, temperature=temperature, **options)
    return Counter(save.choose(r, CANDIDATES, []).chosen[0].task for r in range(rounds))


def test_temperature_zero_draws_tasks_uniformly() -> None:
    found = shares(0.0)
    assert all(abs(found[task] / 400 - 1 / 3) < 0.08 for task in TASKS)


def test_high_temperature_goes_to_the_most_uncertain_task() -> None:
    found = shares(2.5)
    expected = {task: (LEVEL[task] + 0.015) ** 2.5 for task in TASKS}
    total = sum(expected.values())
    assert all(abs(found[task] / 400 - expected[task] / total) < 0.06 for task in TASKS)


def test_scores_that_are_all_zero_draw_uniformly() -> None:
    save = Save(lambda candidates: np.zeros(len(candidates)), budget=1)
    found = Counter(save.choose(r, CANDIDATES, []).chosen[0].task for r in range(300))
    assert min(found.values()) > 60


def test_a_drawn_task_gives_its_most_uncertain_episodes() -> None:
    save = Save(by_level, budget=3, temperature=50.0)
    assert [c.episode_id for c in save.choose(0, CANDIDATES, []).chosen] == ["stack-3", "stack-2", "stack-1"]


@given(st.integers(1, 20), st.floats(0, 50), st.integers(0, 100))
@settings(max_examples=40)
def test_no_task_is_drawn_more_often_than_it_has_episodes(budget: int, temperature: float, index: int) -> None:
    chosen = Save(by_level, budget=budget, temperature=temperature).choose(index, CANDIDATES, []).chosen
    assert len(chosen) == min(budget, len(CANDIDATES)) == len(set(chosen))


def test_repeats_are_allowed_between_rounds_unless_refused() -> None:
    first = Save(by_level, budget=4, temperature=50.0).choose(0, CANDIDATES, [])
    again = Save(by_level, budget=4, temperature=50.0).choose(1, CANDIDATES, first.chosen)
    assert set(again.chosen) == set(first.chosen)
    fresh = Save(by_level, budget=4, temperature=50.0, allow_repeat=False).choose(1, CANDIDATES, first.chosen)
    assert not set(fresh.chosen) & set(first.chosen)
    with pytest.raises(InputError, match="has been shown"):
        Save(by_level, allow_repeat=False).choose(1, CANDIDATES, CANDIDATES)


def test_negative_scores_are_lifted_when_asked() -> None:
    def negative(candidates: Sequence[Candidate]) -> np.ndarray:
        return by_level(candidates) - 10

    lifted = Save(negative, budget=1, temperature=1.0, shifted=True).choose(0, CANDIDATES, []).log
    values = np.array(list(lifted["episodes"].values()))
    assert values.min() == pytest.approx(0.01 * np.ptp(by_level(CANDIDATES)))
    uniform = Save(negative, budget=1, temperature=1.0).choose(0, CANDIDATES, []).log["draws"][0]["P"]
    assert all(p == pytest.approx(1 / 3) for p in uniform.values())


def test_a_round_does_not_depend_on_the_rounds_before_it() -> None:
    one, other = Save(by_level, budget=2, seed=3), Save(by_level, budget=2, seed=3)
    for index in range(4):
        one.choose(index, CANDIDATES, [])
    assert one.choose(4, CANDIDATES, []).chosen == other.choose(4, CANDIDATES, []).chosen
    shuffled = CANDIDATES[::-1]
    assert other.choose(4, shuffled, []).chosen == one.choose(4, CANDIDATES, []).chosen


def test_the_log_holds_every_u_and_p() -> None:
    log = Save(by_level, budget=2, name="vfd").choose(0, CANDIDATES, []).log
    assert set(log["episodes"]) == {c.episode_id for c in CANDIDATES} and set(log["tasks"]) == set(TASKS)
    assert len(log["draws"]) == 2 and all(sum(d["P"].values()) == pytest.approx(1) for d in log["draws"])


@pytest.mark.parametrize("values", [np.ones(3), np.full(12, np.nan)])
def test_scores_that_are_missing_or_not_finite_are_refused(values: np.ndarray) -> None:
    with pytest.raises(InputError, match="score"):
        Save(lambda candidates: values).choose(0, CANDIDATES, [])


@given(st.floats(1e-150, 1e150), st.floats(0, 200), st.integers(0, 50))
@settings(max_examples=40)
def test_only_the_ratios_of_scores_count(scale: float, temperature: float, index: int) -> None:
    plain = Save(by_level, budget=4, temperature=temperature).choose(index, CANDIDATES, [])
    scaled = Save(lambda candidates: scale * by_level(candidates), budget=4, temperature=temperature)
    found = scaled.choose(index, CANDIDATES, [])
    for one, other in zip(plain.log["draws"], found.log["draws"], strict=True):
        assert other["P"] == pytest.approx(one["P"], abs=1e-9)
    assert found.chosen == plain.chosen


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_temperatures_that_mean_nothing_are_refused(temperature: float) -> None:
    with pytest.raises(InputError, match="temperature"):
        Save(by_level, temperature=temperature)


def test_random_is_uniform_over_episodes_and_may_repeat_between_rounds() -> None:
    found = Counter(c for r in range(300) for c in Random(budget=2).choose(r, CANDIDATES, []).chosen)
    assert len(found) == len(CANDIDATES) and max(found.values()) < 85


def test_random_shows_nothing_twice_when_refused() -> None:
    random, shown = Random(budget=5, allow_repeat=False), list[Candidate]()
    for index in range(3):
        shown += random.choose(index, CANDIDATES, shown).chosen
    assert sorted(shown) == sorted(CANDIDATES)
    with pytest.raises(InputError, match="has been shown"):
        random.choose(3, CANDIDATES, shown)


def test_diversity_covers_before_it_repeats_a_neighbourhood() -> None:
    corners = {"close": [0, 0], "open": [10, 0], "stack": [0, 10]}
    points = {c.episode_id: np.array(corners[c.task]) + 0.01 * i for i, c in enumerate(CANDIDATES)}
    first = Diversity(points, budget=3).choose(0, CANDIDATES, [])
    assert {c.task for c in first.chosen} == set(TASKS)
    second = Diversity(points, budget=3).choose(1, CANDIDATES, first.chosen)
    assert not set(first.chosen) & set(second.chosen)
    # Corner to corner, then in a corner from one neighbour to the next.
    start, *far = first.log["distances"].values()
    assert start is None and min(far) > 9 and 0 < max(second.log["distances"].values()) < 0.1


def test_amf_first_takes_one_of_each_task_then_the_task_that_explains_most() -> None:
    rng = np.random.default_rng(0)
    # Gradients of "open" span what those of all tasks need; the others only their own direction.
    spans = {"close": np.eye(3)[:1], "open": np.eye(3), "stack": np.eye(3)[1:2]}

    def gradients(candidate: Candidate) -> np.ndarray:
        return rng.normal(size=(6, len(spans[candidate.task]))) @ spans[candidate.task]

    amf = Amf(gradients, budget=3)
    first = amf.choose(0, CANDIDATES, [])
    assert {c.task for c in first.chosen} == set(TASKS)
    second = Amf(gradients, budget=1).choose(1, CANDIDATES, first.chosen)
    assert second.chosen[0].task == "open" and second.chosen[0] not in first.chosen
