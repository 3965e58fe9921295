"""The cross-conformal band and the one on max-so-far: what they use, what they promise, what they come to."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_uq.calibration.functional import Modulation
from vla_uq.calibration.methods import CROSS, MAX_SO_FAR, METHODS, CrossCalibration, calibrating, prepare
from vla_uq.calibration.nonconformity import Nonconformity
from vla_uq.calibration.threshold import false_alarm_threshold
from vla_uq.errors import InputError

Episode = dict[str, np.ndarray]


def episodes(rng: np.random.Generator, count: int) -> list[Episode]:
    made = []
    for _ in range(count):
        length = int(rng.integers(8, 20))
        level = rng.normal()
        walk = level + np.cumsum(rng.normal(0.1, 0.5, length))
        made.append({"a": walk, "b": 1 / (1 + np.exp(-level - rng.normal(size=length)))})
    return made


@pytest.mark.parametrize("constant", [False, True], ids=["varying", "constant"])
def test_leaving_one_out_is_fitting_to_the_others(constant: bool) -> None:
    curves = [e["a"] for e in episodes(np.random.default_rng(0), 12)]
    curves[4] = np.concatenate([curves[4], np.linspace(0, 1e9, 30)])  # far longer and larger than all others
    left_out = Modulation.leave_one_out(curves, 0.2, constant=constant)
    for i, modulation in enumerate(left_out):
        others = curves[:i] + curves[i + 1 :]
        alone = Modulation.fit(others, 0.2, constant=constant)
        steps = range(max(map(len, curves)))
        for factor in (-1.0, 0.0, 2.0):
            assert [modulation.level(factor, t) for t in steps] == pytest.approx(
                [alone.level(factor, t) for t in steps], rel=1e-9
            )


def test_every_curve_calibrates() -> None:
    data = episodes(np.random.default_rng(0), 9)
    assert Nonconformity.fit(data, 0.1, seed=0, method=CROSS).n_calibration == 9
    with pytest.raises(InputError, match=r"found n = 7, which allows alpha >= 0.125"):
        Nonconformity.fit(data, 0.1, seed=0)
    with pytest.raises(InputError, match=r"found n = 8, which allows alpha >= 0.1111"):
        Nonconformity.fit(data[:8], 0.1, seed=0, method=CROSS)


def test_the_band_is_the_order_statistic_of_the_edges() -> None:
    data = [{"a": e["a"]} for e in episodes(np.random.default_rng(3), 14)]
    curves = [e["a"] for e in data]
    monitor = Nonconformity.fit(data, 0.2, seed=0, method=CROSS)
    left_out = Modulation.leave_one_out(curves, 0.2)
    worst = [m.standardise(c).max() for m, c in zip(left_out, curves, strict=True)]
    for step in range(20):
        edges = sorted(m.level(float(w), step) for m, w in zip(left_out, worst, strict=True))
        assert monitor.detector_thresholds(step)["a"] == pytest.approx(edges[math.ceil(15 * 0.8) - 1])
    assert monitor.threshold() == pytest.approx(sorted(worst)[11])


def test_no_seed_and_no_order_matters() -> None:
    data = episodes(np.random.default_rng(1), 20)
    first = Nonconformity.fit(data, 0.1, seed=0, method=CROSS)
    other = Nonconformity.fit(data[::-1], 0.1, seed=1, method=CROSS)
    new = episodes(np.random.default_rng(2), 1)[0]
    np.testing.assert_allclose(first.curve(new), other.curve(new), rtol=1e-9)
    assert first.threshold() == pytest.approx(other.threshold())


def test_b9_equal_scores_pass() -> None:
    """A score that only counts steps, or is the same for all, alarms on no success."""
    for make in (lambda n: np.arange(n, dtype=float), lambda n: np.full(n, 0.3), lambda n: np.full(n, 1e6 / 3)):
        data = [{"a": make(int(n))} for n in np.random.default_rng(0).integers(10, 20, size=25)]
        for method in METHODS:
            monitor = Nonconformity.fit(data, 0.1, seed=0, method=method)
            longest = max(data, key=lambda e: len(e["a"]))
            alarms = sum(monitor.alarm_step(e) is not None for e in data if len(e["a"]) < len(longest["a"]))
            assert alarms <= 4, method
            same = {"a": data[0]["a"][:10]}
            assert monitor.alarm_step(same) is None, method


@pytest.mark.parametrize("constant", [False, True], ids=["varying", "constant"])
@pytest.mark.parametrize(("count", "alpha"), [(10, 0.1), (20, 0.05), (40, 0.2)])
def test_the_whole_monitor_alarms_at_most_at_alpha(count: int, alpha: float, constant: bool) -> None:
    rng = np.random.default_rng(count)
    rates = []
    for _ in range(150):
        monitor = Nonconformity.fit(episodes(rng, count), alpha, seed=0, method=CROSS)
        fresh = episodes(rng, 40)
        rates.append(np.mean([monitor.alarm_step(e, constant=constant) is not None for e in fresh]))
    error = np.std(rates) / math.sqrt(len(rates))
    assert np.mean(rates) <= alpha + 3 * error
    assert np.mean(rates) >= alpha - 1 / (count + 1) - 3 * error


def test_max_so_far_of_one_detector_is_split_conformal_on_all() -> None:
    data = [{"a": e["a"]} for e in episodes(np.random.default_rng(4), 20)]
    monitor = Nonconformity.fit(data, 0.1, seed=0, method=MAX_SO_FAR)
    peaks = [float(e["a"].max()) for e in data]
    assert monitor.threshold() == monitor.threshold(constant=True) == false_alarm_threshold(peaks, 0.1)
    assert (monitor.n_fit, monitor.n_calibration) == (0, 20)
    np.testing.assert_array_equal(monitor.curve(data[0]), data[0]["a"])


def test_max_so_far_of_several_detectors_scales_them_first() -> None:
    data = episodes(np.random.default_rng(4), 40)
    monitor = Nonconformity.fit(data, 0.1, seed=0, method=MAX_SO_FAR)
    assert (monitor.n_fit, monitor.n_calibration) == (12, 28)
    assert {len(m.mean) for m in monitor.varying.modulations.values()} == {1}


def test_what_calibrates_is_known_beforehand() -> None:
    for method in METHODS:
        for detectors in (1, 2):
            for n in (10, 13, 40):
                data = [{k: e[k] for k in "ab"[:detectors]} for e in episodes(np.random.default_rng(n), n)]
                members = prepare(method, data, 0.5, 0, fraction=0.3, floor=0.05)[0].members
                assert calibrating(method, n, detectors, 0.3) == len(members)


def test_the_method_survives_the_file() -> None:
    data = episodes(np.random.default_rng(5), 20)
    for method in METHODS:
        monitor = Nonconformity.fit(data, 0.1, seed=0, method=method)
        tensors, config = monitor.state()
        twin = Nonconformity.from_state(tensors, config)
        assert twin.method == method
        np.testing.assert_array_equal(twin.curve(data[0]), monitor.curve(data[0]))
        assert ("method" in config) == (method != "functional")
    with pytest.raises(InputError, match=r"nonconformity: method: is unknown; .*found magic"):
        Nonconformity.from_state(tensors, {**config, "method": "magic"})


def test_refusals() -> None:
    data = episodes(np.random.default_rng(5), 20)
    with pytest.raises(InputError, match="method: unknown method; expected functional, cross, max_so_far; found magic"):
        Nonconformity.fit(data, 0.1, seed=0, method="magic")
    for method in METHODS:
        spoilt = [*data[:7], {**data[7], "a": data[7]["a"] * np.nan}, *data[8:]]
        with pytest.raises(InputError, match="a score is not finite"):
            Nonconformity.fit(spoilt, 0.1, seed=0, method=method)
        uneven = [*data[:7], {**data[7], "a": data[7]["a"][:-1]}, *data[8:]]
        with pytest.raises(InputError, match="different numbers of steps"):
            Nonconformity.fit(uneven, 0.1, seed=0, method=method)
        with pytest.raises(InputError):
            Nonconformity.fit([], 0.1, seed=0, method=method)
    with pytest.raises(InputError, match="too few curves"):
        CrossCalibration.fit(data[:2], 0.5, floor=0.05, constant=False)
