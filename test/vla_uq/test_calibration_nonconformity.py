"""One nonconformity for the monitor: its alarm rate, its streaming form, its two variants and its file form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_uq.calibration.functional import FunctionalBand
from vla_uq.calibration.nonconformity import Nonconformity
from vla_uq.errors import InputError

Episode = dict[str, np.ndarray]


def episodes(rng: np.random.Generator, count: int) -> list[Episode]:
    """Scores of two unlike detectors: a heavy-tailed one, and one between 0 and 1 that settles."""
    made = []
    for _ in range(count):
        length = int(rng.integers(8, 20))
        level = rng.lognormal()
        heavy = level * rng.lognormal(sigma=0.5, size=length)
        steps = np.arange(1, length + 1)
        bounded = 1 / (1 + np.exp(-np.cumsum(rng.normal(-1, 2, length)) / steps))
        made.append({"vfd": np.cumsum(heavy) / steps, "safe_mlp": bounded})
    return made


@pytest.fixture
def calibrated() -> Nonconformity:
    return Nonconformity.fit(episodes(np.random.default_rng(0), 80), 0.1, seed=0)


@pytest.mark.parametrize(("count", "alpha"), [(28, 0.1), (72, 0.1), (28, 0.25)])
@pytest.mark.parametrize("constant", [False, True], ids=["varying", "constant"])
def test_the_whole_monitor_alarms_at_alpha(count: int, alpha: float, constant: bool) -> None:
    rng = np.random.default_rng(count)
    rates = []
    for repetition in range(200):
        nonconformity = Nonconformity.fit(episodes(rng, count), alpha, seed=repetition)
        fresh = episodes(rng, 20)
        rates.append(np.mean([nonconformity.alarm_step(e, constant=constant) is not None for e in fresh]))
    n = nonconformity.n_calibration
    expected = (n + 1 - math.ceil((n + 1) * (1 - alpha) - 1e-9)) / (n + 1)
    assert expected <= alpha
    assert abs(np.mean(rates) - expected) < 4 * np.std(rates) / math.sqrt(len(rates))


def test_an_or_of_two_bands_alarms_more_often() -> None:
    rng = np.random.default_rng(3)
    rates = []
    for repetition in range(100):
        calibration, fresh = episodes(rng, 41), episodes(rng, 20)
        bands = {
            name: FunctionalBand.fit([e[name] for e in calibration], 0.1, seed=repetition)
            for name in ("vfd", "safe_mlp")
        }
        rates.append(np.mean([any(not b.passes(e[n]).all() for n, b in bands.items()) for e in fresh]))
    assert np.mean(rates) > 0.13


def test_streaming_equals_batch(calibrated: Nonconformity) -> None:
    for constant in (False, True):
        for episode in episodes(np.random.default_rng(1), 5):
            streamed = [
                calibrated.value(t, {n: float(s[t]) for n, s in episode.items()}, constant=constant)
                for t in range(len(episode["vfd"]))
            ]
            np.testing.assert_array_equal(calibrated.curve(episode, constant=constant), streamed)


def test_value_is_of_the_step_and_not_the_largest_so_far(calibrated: Nonconformity) -> None:
    curve = calibrated.curve({"vfd": np.array([100.0, 0.0]), "safe_mlp": np.array([0.9, 0.0])})
    assert curve[0] > calibrated.threshold() > curve[1]


def test_each_detectors_threshold_is_where_it_alone_alarms(calibrated: Nonconformity) -> None:
    for constant in (False, True):
        for step in (0, 3, 100):
            levels = calibrated.detector_thresholds(step, constant=constant)
            for name in levels:
                low = dict.fromkeys(levels, -1000.0)
                value = calibrated.value(step, {**low, name: levels[name]}, constant=constant)
                assert value == pytest.approx(calibrated.threshold(constant=constant))


def test_steps_beyond_calibration_use_the_last_band(calibrated: Nonconformity) -> None:
    scores = {"vfd": 2.0, "safe_mlp": 0.4}
    assert calibrated.value(25, scores) == calibrated.value(10_000, scores)


def test_the_constant_variant_does_not_know_the_step(calibrated: Nonconformity) -> None:
    scores = {"vfd": 2.0, "safe_mlp": 0.4}
    assert len({calibrated.value(t, scores, constant=True) for t in range(30)}) == 1
    assert calibrated.threshold(constant=True) != calibrated.threshold()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_passes_nowhere(calibrated: Nonconformity, bad: float) -> None:
    for constant in (False, True):
        assert math.isnan(calibrated.value(0, {"vfd": 0.1, "safe_mlp": bad}, constant=constant))
    episode = {"vfd": np.zeros(3), "safe_mlp": np.array([0.0, bad, 0.0])}
    assert calibrated.alarm_step(episode) == 1


def test_a_quiet_episode_has_no_alarm(calibrated: Nonconformity) -> None:
    assert calibrated.alarm_step({"vfd": np.zeros(30), "safe_mlp": np.zeros(30)}) is None


def test_the_seed_alone_decides_the_split() -> None:
    data = episodes(np.random.default_rng(0), 40)
    first, again, other = (Nonconformity.fit(data, 0.1, seed=s) for s in (0, 0, 1))
    assert first.threshold() == again.threshold()
    assert first.threshold() != other.threshold()


def test_refuses_too_few_other_detectors_and_bad_scores() -> None:
    data = episodes(np.random.default_rng(0), 12)
    with pytest.raises(InputError, match=r"found n = 9, which allows alpha >= 0.1"):
        Nonconformity.fit(data, 0.05, seed=0)
    with pytest.raises(InputError, match="differ in their detectors"):
        Nonconformity.fit([*data, {"vfd": np.zeros(3)}], 0.2, seed=0)
    for i in range(12):
        spoilt = [*data[:i], {**data[i], "vfd": data[i]["vfd"] * np.nan}, *data[i + 1 :]]
        with pytest.raises(InputError, match="a score is not finite"):
            Nonconformity.fit(spoilt, 0.2, seed=0)


def test_curves_of_unlike_length_are_refused(calibrated: Nonconformity) -> None:
    with pytest.raises(InputError, match=r"different numbers of steps; found {'vfd': 3, 'safe_mlp': 4}"):
        calibrated.curve({"vfd": np.zeros(3), "safe_mlp": np.zeros(4)})


def test_scores_of_other_detectors_are_refused(calibrated: Nonconformity) -> None:
    with pytest.raises(InputError, match="expected vfd, safe_mlp; found vfd"):
        calibrated.value(0, {"vfd": 0.0})
    with pytest.raises(InputError, match="found vfd, safe_mlp, extra"):
        calibrated.value(0, {"vfd": 0.0, "safe_mlp": 0.0, "extra": 0.0})


def test_state_round_trip(calibrated: Nonconformity) -> None:
    tensors, config = calibrated.state()
    twin = Nonconformity.from_state(tensors, config)
    assert twin.detectors == calibrated.detectors
    assert (twin.alpha, twin.n_fit, twin.n_calibration) == (0.1, 24, 56)
    episode = episodes(np.random.default_rng(2), 1)[0]
    for constant in (False, True):
        assert twin.threshold(constant=constant) == calibrated.threshold(constant=constant)
        np.testing.assert_array_equal(
            twin.curve(episode, constant=constant), calibrated.curve(episode, constant=constant)
        )


def test_bad_state_is_refused_by_name(calibrated: Nonconformity) -> None:
    tensors, config = calibrated.state()
    for name in config:
        with pytest.raises(InputError, match=f"nonconformity: {name}"):
            Nonconformity.from_state(tensors, {k: v for k, v in config.items() if k != name})
    for name, value in tensors.items():
        for bad in ({}, {name: value * np.nan}, {name: value[:0]}, {name: -np.ones(99)}):
            changed = {**{k: v for k, v in tensors.items() if k != name}, **bad}
            with pytest.raises(InputError, match=r"nonconformity: \w+/\w+/(mean|scale)"):
                Nonconformity.from_state(changed, config)
