"""The scoring engine: streaming equals batch, the alarm stays, everything fails closed, doubts are told."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from monitor_node.engine import ScoringEngine
from vla_uq.bundle import Bundle
from vla_uq.contracts import Score
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout, RolloutMeta

NAN = np.full((1, 2, 1, 3, 4, 7), np.nan, np.float32)


@pytest.fixture
def engine(bundle: Bundle) -> ScoringEngine:
    return ScoringEngine(bundle)


def play(engine: ScoringEngine, trace: Any, steps: range, **options: Any) -> list[Score]:
    return [engine.score(trace(step, **options)) for step in steps]


def test_streaming_equals_batch(engine: ScoringEngine, trace: Any) -> None:
    from_stream = play(engine, trace, range(12))
    # The same episode as a recording, scored at once by detectors that are in the middle of another episode.
    play(engine, trace, range(3), episode="other", seed=5)
    tensors = {name: np.stack([trace(s).tensors[name] for s in range(12)]) for name in trace(0).tensors}
    rollout = Rollout(RolloutMeta("e", "stack", 0, "none", True, 72, ""), tensors)
    scores = {name: detector.score(rollout) for name, detector in engine.bundle.detectors.items()}
    curve = engine.bundle.nonconformity.curve(scores)
    np.testing.assert_allclose([s.nonconformity for s in from_stream], curve, rtol=1e-6)
    for name, values in scores.items():
        np.testing.assert_allclose([s.detectors[name][0] for s in from_stream], values, rtol=1e-6)


def test_false_alarms_stay_near_alpha(engine: ScoringEngine, trace: Any) -> None:
    alarms = 0
    for seed in range(2000, 2100):
        alarms += play(engine, trace, range(12), episode=str(seed), seed=seed)[-1].alarm
    assert alarms <= 100 * engine.bundle.realised_bound + 10


def test_a_quiet_episode_passes_with_its_guarantee(engine: ScoringEngine, trace: Any) -> None:
    for score in play(engine, trace, range(12), size=0.5, features=np.zeros(5, np.float32)):
        assert score.passes
        assert score.valid_guarantee
        assert score.why_not == ""
        assert score.alpha == 0.1
    assert score.chunk_digest == 11 + 7
    assert set(score.detectors) == {"vfd", "safe_mlp"}


def test_the_alarm_stays_until_the_next_episode(engine: ScoringEngine, trace: Any) -> None:
    loud = engine.score(trace(0, size=20.0))
    assert loud.nonconformity > loud.threshold
    assert loud.alarm and not loud.passes
    later = play(engine, trace, range(1, 12), size=0.0, features=np.zeros(5, np.float32))
    assert all(score.alarm and not score.passes for score in later)
    assert not engine.score(trace(0, episode="f", size=0.1, sequence=12, features=np.zeros(5, np.float32))).alarm


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ({"velocities": NAN}, ""),
        ({"features": np.full(5, np.inf, np.float32)}, ""),
        ({"features": np.zeros(6, np.float32)}, "features"),
        ({"features": None}, "features"),
        ({"velocities": None}, "velocities"),
        ({"velocities": np.zeros((1, 3, 1, 3, 4, 7), np.float32)}, "velocities"),
        ({"flow_times": np.float32([0.1, 0.2, 0.3])}, "flow_times"),
        ({"fingerprint": "another"}, "policy another"),
        ({"fingerprint": ""}, "policy unknown"),
    ],
)
def test_what_cannot_be_scored_is_an_alarm(engine: ScoringEngine, trace: Any, tensors: Any, why: str) -> None:
    assert not engine.score(trace(0, size=0.1)).alarm
    score = engine.score(trace(1, **tensors))
    assert math.isnan(score.nonconformity)
    assert score.alarm and not score.passes
    assert score.valid_guarantee == (why == "")
    assert why in score.why_not
    assert engine.score(trace(2, size=0.1)).alarm


def test_a_late_start_and_a_gap_end_the_guarantee(engine: ScoringEngine, trace: Any) -> None:
    score = engine.score(trace(2))
    assert (score.valid_guarantee, score.why_not) == (False, "step 2 is the first one seen of this episode")
    assert engine.score(trace(0, episode="f", sequence=3)).valid_guarantee
    assert engine.score(trace(1, episode="f", sequence=4)).valid_guarantee
    score = engine.score(trace(3, episode="f", sequence=6))
    assert (score.valid_guarantee, score.why_not) == (False, "step 2 was not seen")
    assert not engine.score(trace(4, episode="f", sequence=7)).valid_guarantee
    assert engine.score(trace(0, episode="g", sequence=8)).valid_guarantee


def test_an_intervention_brings_the_constant_threshold(engine: ScoringEngine, trace: Any) -> None:
    band = engine.bundle.nonconformity
    before = play(engine, trace, range(3))[-1]
    assert before.threshold == band.threshold()
    engine.intervened()
    after = engine.score(trace(3))
    assert after.threshold == band.threshold(constant=True)
    raw = {name: score for name, (score, _) in after.detectors.items()}
    assert after.nonconformity == band.value(3, raw, constant=True)
    assert not after.valid_guarantee
    assert "human" in after.why_not
    assert engine.score(trace(0, episode="f", sequence=4)).valid_guarantee


def test_a_resume_clears_the_alarm_but_not_the_doubt(engine: ScoringEngine, trace: Any) -> None:
    assert engine.score(trace(0, size=20.0)).alarm
    resumed = engine.score(trace(0, sequence=9, size=0.1, features=np.zeros(5, np.float32)))
    assert resumed.passes
    assert not resumed.valid_guarantee
    assert "reset" in resumed.why_not
    assert resumed.threshold == engine.bundle.nonconformity.threshold(constant=True)
    fresh = ScoringEngine(engine.bundle)
    alone = fresh.score(trace(0, size=0.1, features=np.zeros(5, np.float32)))
    assert {n: s for n, (s, _) in alone.detectors.items()} == {n: s for n, (s, _) in resumed.detectors.items()}


def test_a_restarted_policy_does_not_clear_the_alarm(engine: ScoringEngine, trace: Any) -> None:
    assert engine.score(trace(0, size=20.0)).alarm
    score = engine.score(trace(1, sequence=0, run=bytes(16), size=0.1))
    assert score.alarm
    assert "restarted" in score.why_not


def test_the_same_inference_is_scored_once_and_older_ones_are_refused(engine: ScoringEngine, trace: Any) -> None:
    first = engine.score(trace(0))
    assert engine.score(trace(0)) is first
    second = engine.score(trace(1))
    with pytest.raises(InputError, match="sequence"):
        engine.score(trace(0))
    assert engine.score(trace(1)) is second


@pytest.mark.faults(row=8, tier="U")
def test_a_camera_that_freezes_while_the_arm_moves_is_an_alarm(engine: ScoringEngine, trace: Any) -> None:
    def seen(step: int, digests: tuple[int, int], x: float) -> Score:
        extra = {"image_digest": np.float32(digests), "position": np.float32([x, 0, 0])}
        return engine.score(trace(step, size=0.1, features=np.zeros(5, np.float32), **extra))

    moving = [seen(step, (step, step), 0.02 * step) for step in range(4)]
    assert all(score.passes for score in moving)
    assert seen(4, (9, 4), 0.08).passes
    assert seen(5, (9, 5), 0.08).passes
    assert seen(6, (9, 6), 0.08).passes, "an arm at rest may see the same twice"
    frozen = seen(7, (9, 7), 0.10)
    assert math.isfinite(frozen.nonconformity)
    assert not frozen.passes
    assert frozen.why_not == "frozen camera: number 1 of 2"
    assert frozen.frozen_camera and frozen.detectors["frozen_camera"] == (1.0, 0.0)


def test_without_positions_equal_pictures_are_enough(engine: ScoringEngine, trace: Any) -> None:
    digests = np.float32([1, 2])
    scores = play(engine, trace, range(3), size=0.1, features=np.zeros(5, np.float32), image_digest=digests)
    assert [score.passes for score in scores] == [True, True, False]


@pytest.mark.parametrize(
    ("task", "own", "why"),
    [
        ("stack", True, ""),
        ("shake", True, ""),
        ("rare", False, "task 'rare' has 1 of 9 calibration episodes: threshold of all tasks"),
        ("dance", False, "task 'dance' is not in the calibration: threshold of all tasks"),
        ("", False, "the task is not known, and thresholds are per task"),
    ],
)
def test_each_task_has_its_own_threshold(bundle_per_task: Bundle, trace: Any, task: str, own: bool, why: str) -> None:
    engine = ScoringEngine(bundle_per_task)
    if task:
        engine.instruct("e", task)
    assert bundle_per_task.per_task is not None
    band = bundle_per_task.per_task.own[task] if own else bundle_per_task.nonconformity
    for score in play(engine, trace, range(4)):
        assert score.threshold == band.threshold()
        assert (score.valid_guarantee, score.why_not) == (not why, why)
        assert score.alpha == 0.1
    engine.intervened()
    assert engine.score(trace(4)).threshold == band.threshold(constant=True)


def test_a_task_that_is_shaky_alarms_only_where_that_is_news(bundle_per_task: Bundle, trace: Any) -> None:
    alarms = {}
    for task in ("stack", "shake"):
        engine = ScoringEngine(bundle_per_task)
        for seed in range(2000, 2040):
            engine.instruct(str(seed), task)
            last = play(engine, trace, range(12), episode=str(seed), seed=seed, size=2.0)[-1]
            alarms[task] = alarms.get(task, 0) + last.alarm
    assert alarms["stack"] == 40
    assert alarms["shake"] <= 12


def test_the_task_is_that_of_the_episode_and_is_taken_at_its_first_score(bundle_per_task: Bundle, trace: Any) -> None:
    engine = ScoringEngine(bundle_per_task)
    engine.instruct("e", "stack")
    assert engine.score(trace(0)).valid_guarantee
    engine.instruct("f", "shake")
    own = bundle_per_task.decide("stack")[0].threshold()
    assert engine.score(trace(1)).threshold == own, "what comes next does not touch the running episode"
    assert engine.score(trace(0, episode="f", sequence=2)).threshold == bundle_per_task.decide("shake")[0].threshold()
    engine.score(trace(0, episode="g", sequence=3))
    engine.instruct("g", "stack")
    late = engine.score(trace(1, episode="g", sequence=4))
    assert late.threshold == bundle_per_task.nonconformity.threshold()
    assert late.why_not == "the task is not known, and thresholds are per task"


def test_a_resume_keeps_the_tasks_threshold(bundle_per_task: Bundle, trace: Any) -> None:
    engine = ScoringEngine(bundle_per_task)
    engine.instruct("e", "shake")
    engine.score(trace(0))
    resumed = engine.score(trace(0, sequence=9))
    assert resumed.threshold == bundle_per_task.decide("shake")[0].threshold(constant=True)
