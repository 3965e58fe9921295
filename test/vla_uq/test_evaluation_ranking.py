"""Areas against scikit-learn and values known from the papers, intervals, and the leaks that they must not hide."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_uq.calibration.functional import FunctionalBand
from vla_uq.errors import InputError
from vla_uq.evaluation.alarms import alarm_report, first_alarm
from vla_uq.evaluation.bootstrap import difference, interval
from vla_uq.evaluation.protocol import WHOLE, CutOffs, peak
from vla_uq.evaluation.ranking import STATISTICS, Scored, estimate
from vla_uq.rollouts.store import RolloutMeta

FAILED = [True, False, True, False, False, True, False, False]
SCORES = [0.9, 0.9, 0.4, 0.1, 0.4, 0.8, math.inf, 0.0]
TASKS = list("aaaabbbb")
episodes = st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.sampled_from("abc")), min_size=2, max_size=25)


def scored(scores: object, failed: object, tasks: object = None, ids: object = None) -> Scored:
    values = np.array(scores, np.float64)
    names = tuple(ids) if ids is not None else tuple(map(str, range(len(values))))  # type: ignore[call-overload]
    return Scored(names, values, np.array(failed, bool), np.array(tasks if tasks is not None else [""] * len(values)))


@given(episodes)
def test_areas_equal_those_of_scikit_learn(rows: list[tuple[int, bool, str]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    scores, failed, tasks = zip(*rows, strict=True)
    part = scored(scores, failed, tasks)
    both = len(set(failed)) == 2
    expected = metrics.roc_auc_score(failed, scores) if both else math.nan
    assert estimate(part, STATISTICS["roc_auc"]) == pytest.approx(expected, nan_ok=True)
    if any(failed):
        assert estimate(part, STATISTICS["pr_auc"]) == pytest.approx(metrics.average_precision_score(failed, scores))
    mixed = [np.array(tasks) == task for task in part.mixed_tasks()]
    per_task = [metrics.roc_auc_score(np.array(failed)[m], np.array(scores)[m]) for m in mixed]
    macro = float(np.mean(per_task)) if per_task else math.nan
    assert estimate(part, STATISTICS["roc_auc_macro"]) == pytest.approx(macro, nan_ok=True)


@given(episodes, st.integers(0, 1000))
def test_counting_an_episode_twice_is_having_it_twice(rows: list[tuple[int, bool, str]], seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 3, len(rows))
    scores, failed, tasks = zip(*rows, strict=True)
    repeated = [row for row, count in zip(rows, counts, strict=True) for _ in range(count)]
    for name, statistic in STATISTICS.items():
        weighted = float(statistic(scored(scores, failed, tasks), counts[None].astype(float))[0])
        plain = estimate(scored(*zip(*repeated, strict=True)), statistic) if repeated else math.nan
        # Precision by task also counts a task whose successes were not drawn, which without them is no mixed task.
        if name not in ("pr_auc_within", "pr_auc_macro"):
            assert weighted == pytest.approx(plain, nan_ok=True), name


def test_an_infinite_score_is_the_highest_and_ties_with_itself() -> None:
    assert estimate(scored([math.inf, math.inf, 1], [True, False, False]), STATISTICS["roc_auc"]) == 0.75
    assert estimate(scored(SCORES, FAILED), STATISTICS["roc_auc"]) == pytest.approx((3.5 + 2.5 + 3) / 15)


def test_single_class_tasks_are_skipped() -> None:
    part = scored([1, 0, 5, 6], [True, False, False, False], list("aabb"))
    assert part.mixed_tasks() == ["a"]
    assert estimate(part, STATISTICS["roc_auc_macro"]) == estimate(part, STATISTICS["roc_auc_within"]) == 1.0
    assert math.isnan(estimate(scored([1, 2], [True, False], list("ab")), STATISTICS["roc_auc_macro"]))
    assert math.isnan(estimate(scored([], []), STATISTICS["roc_auc"]))


@pytest.mark.parametrize(("tasks", "pooled"), [((3, 0, 5), 0.708), ((7, 8, 5), 0.936), ((6, 9, 8), 0.876)])
def test_b6_difficulty_alone_has_a_high_pooled_area_and_none_within_tasks(
    tasks: tuple[int, ...], pooled: float
) -> None:
    """The published success rates of pi0-FAST on LIBERO, as a score that is the same for all episodes of a task."""
    rates = (84, 94, 36, 38, 90, 48, 78, 98, 0, 30)
    rows = [(100 - rates[t], episode >= rates[t] // 2, str(t)) for t in tasks for episode in range(50)]
    part = scored(*zip(*rows, strict=True))
    assert estimate(part, STATISTICS["roc_auc"]) == pytest.approx(pooled, abs=5e-4)
    assert estimate(part, STATISTICS["roc_auc_macro"]) == estimate(part, STATISTICS["roc_auc_within"]) == 0.5


def noise(cumulated: bool, seed: int = 0) -> tuple[list[np.ndarray], list[bool], list[str]]:
    """Scores that know nothing, on episodes as long as LIBERO's: failures run to the limit."""
    rng = np.random.default_rng(seed)
    failed = rng.random(400) < 0.4
    lengths = np.where(failed, 104, rng.integers(45, 80, 400))
    curves = [rng.normal(0.5, 0.2, n) for n in lengths]
    return [np.cumsum(c) if cumulated else c for c in curves], failed.tolist(), ["t"] * 400


def test_b5_noise_looks_perfect_over_whole_episodes_and_is_none_when_matched() -> None:
    curves, failed, tasks = noise(cumulated=True)
    train = range(200)
    cuts = CutOffs.shortest((tasks[i], len(curves[i])) for i in train)
    test = range(200, 400)
    outcomes = [failed[i] for i in test]
    leaky = scored([peak(curves[i], WHOLE.of("t")) for i in test], outcomes)
    matched = scored([peak(curves[i], cuts.of("t")) for i in test], outcomes)
    assert estimate(leaky, STATISTICS["roc_auc"]) == 1.0
    assert estimate(matched, STATISTICS["roc_auc"]) == pytest.approx(0.5, abs=0.1)


def test_b5_balanced_accuracy_of_noise_leaks_too() -> None:
    curves, failed, _ = noise(cumulated=True)
    successes = [c for c, f in zip(curves[:200], failed[:200], strict=True) if not f]
    band = FunctionalBand.fit(successes, 0.05, seed=0)
    test = list(zip(curves[200:], failed[200:], strict=True))
    metas = [meta(not f, len(c)) for c, f in test]
    passes = [band.passes(curve) for curve, _ in test]
    cut = min(map(len, curves[:200]))
    whole, matched = (
        alarm_report([first_alarm(p, c) for p in passes], [len(curve) for curve, _ in test], metas, 104)
        for c in (None, cut)
    )
    assert whole.balanced_accuracy > 0.9 > 0.6 > matched.balanced_accuracy


def meta(success: bool, steps: int, execute: int = 5, step: float = 0.1) -> RolloutMeta:
    return RolloutMeta("e", "t", 0, "none", success, steps, "p", execute_steps=execute, step_duration=step)


def test_a_cut_off_comes_from_training_episodes_alone() -> None:
    cuts = CutOffs.shortest([("a", 9), ("a", 7), ("b", 12)])
    assert (cuts.of("a"), cuts.of("b"), cuts.of("never trained on")) == (7, 12, 7)
    assert WHOLE.of("a") is None
    with pytest.raises(InputError, match="no episodes"):
        CutOffs.shortest([])


def test_a_peak_is_of_the_first_steps_and_a_missing_score_is_an_alarm() -> None:
    assert peak([1, 3, 2, 9], 3) == 3 and peak([1, 3, 2, 9], None) == 9
    assert peak([1, math.nan, 2], 3) == peak([1, math.inf], 2) == math.inf
    assert peak([1, 2, math.nan], 2) == 2


def test_alarms_by_hand() -> None:
    """Two failures, one found at inference 3 of 10, and four successes, one flagged."""
    metas = [meta(False, 50), meta(False, 40), *(meta(True, 20) for _ in range(4))]
    found = alarm_report([3, None, None, 1, None, None], [10, 8, 4, 4, 4, 4], metas, longest=11)
    assert (found.tpr, found.tnr, found.balanced_accuracy) == (0.5, 0.75, 0.625)
    assert found.detection_steps == (3 * 5 + 40) / 2
    assert found.detection_seconds == pytest.approx((1.5 + 4) / 2)
    assert found.detection_share == (0.3 + 1) / 2
    assert found.twa == pytest.approx(((1 - 3 / 10) / 2 + 0.75) / 2)


def test_b12_times_that_are_not_known_are_not_invented() -> None:
    found = alarm_report([2], [10], [meta(False, 50, execute=0, step=0.0)], 10)
    assert math.isnan(found.detection_steps) and math.isnan(found.detection_seconds)
    assert found.detection_share == 0.2 and math.isnan(found.tnr)


def test_first_alarm() -> None:
    assert first_alarm([True, True, False, False]) == 2
    assert first_alarm([True, True, False], 2) is None


def test_intervals_cover_and_pairing_narrows() -> None:
    rng = np.random.default_rng(0)
    failed = np.arange(300) < 120
    signal = failed * 1.0 + rng.normal(size=300)
    a, b = scored(signal, failed), scored(signal + rng.normal(scale=0.3, size=300), failed)
    first, second = (interval([part], STATISTICS["roc_auc"]) for part in (a, b))
    assert first.low < first.value < first.high and first.low < 0.76 < first.high
    gap = difference([a], [b], STATISTICS["roc_auc"])
    assert gap.value == pytest.approx(first.value - second.value)
    assert gap.high - gap.low < (first.high - first.low) / 2
    assert difference([a], [a], STATISTICS["roc_auc"]).high == 0.0
    assert interval([a], STATISTICS["roc_auc"]) == interval([a], STATISTICS["roc_auc"])


def test_interval_width_is_that_of_theory() -> None:
    """Hanley and McNeil's standard error of an AUC of .76 with 120 failures and 180 successes is about .028."""
    rng = np.random.default_rng(1)
    failed = np.arange(300) < 120
    found = interval([scored(failed + rng.normal(size=300), failed)], STATISTICS["roc_auc"])
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(0.028, abs=0.006)


def test_splits_that_share_episodes_share_draws() -> None:
    rng = np.random.default_rng(2)
    failed = np.arange(100) < 40
    scores = failed + rng.normal(size=100)
    once = scored(scores, failed)
    one, thrice = interval([once], STATISTICS["roc_auc"]), interval([once] * 3, STATISTICS["roc_auc"])
    assert (thrice.value, thrice.low, thrice.high) == pytest.approx((one.value, one.low, one.high))
    apart = [scored(scores, failed, ids=[f"{k}-{i}" for i in range(100)]) for k in range(3)]
    wide = interval(apart, STATISTICS["roc_auc"])
    assert wide.high - wide.low < 0.75 * (one.high - one.low)


def test_b13_only_detectors_scored_on_the_same_episodes_are_compared() -> None:
    with pytest.raises(InputError, match="different episodes"):
        difference([scored([1, 2], [1, 0])], [scored([1, 2], [1, 0], ids="ab")], STATISTICS["roc_auc"])


def test_splits_without_an_estimate_are_left_out() -> None:
    good, empty = scored([2, 1], [True, False]), scored([1.0], [False])
    assert interval([good, empty], STATISTICS["roc_auc"]).value == 1.0
    assert math.isnan(interval([empty], STATISTICS["roc_auc"]).value)


@pytest.mark.parametrize("statistic", list(STATISTICS))
def test_store_of_one_task_leaves_an_empty_part_without_a_figure(statistic: str) -> None:
    """With one task nothing is unseen; the empty part once ended the whole comparison."""
    empty = scored([], [])
    assert math.isnan(estimate(empty, STATISTICS[statistic]))
    assert math.isnan(interval([empty], STATISTICS[statistic]).value)
