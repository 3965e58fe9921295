"""What all detectors promise: batch equals streaming, state survives a round trip, bad tensors are named."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from vla_uq import detectors
from vla_uq.detectors import Detector, SafeLstm, SafeLstmTraining, SafeMlp, SafeTraining, Vfd, detector_from_state
from vla_uq.detectors.fiper import Combination
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout

Make = Callable[..., Rollout]


def combined(kind: type[Combination], aggregator: str) -> Detector:
    """With other parts than RND-OE, which takes seconds to train, and for the few successes of these tests."""
    parts = (detectors.TotalVariance(aggregator), detectors.Ace(aggregator))
    return kind(alpha=0.5, parts=parts)


OF_ALL = (detectors.VfdTwoWay, detectors.DecuKl, detectors.ActionL2, detectors.Gu, detectors.GuJazbec)
"""These need chunks or paths of all members."""
KINDS: dict[str, Callable[[str], Detector]] = {
    **{kind.name: kind for kind in (Vfd, detectors.Decu, detectors.LastLayerVfd)},
    **{kind.name: kind for kind in OF_ALL},
    "safe_mlp": lambda aggregator: SafeMlp(aggregator, SafeTraining(hidden=8, iterations=30, batch=4)),
    "safe_lstm": lambda aggregator: SafeLstm(aggregator, SafeLstmTraining(hidden=8, iterations=30, batch=4)),
    **{
        kind.name: kind
        for kind in (
            *(detectors.TotalVariance, detectors.TranslationVariance, detectors.RotationVariance),
            *(detectors.GripperVariance, detectors.ClusterEntropy, detectors.Ace),
            *(detectors.Stac, detectors.StacMedian, detectors.StacSingle),
        )
    },
    **{
        kind.name: kind
        for kind in (detectors.Mahalanobis, detectors.EuclideanKnn, detectors.CosineKnn, detectors.PcaKmeans)
    },
    "rnd": lambda aggregator: detectors.Rnd(aggregator, hidden=8, output=4, iterations=20),
    "logpzo": lambda aggregator: detectors.LogpZo(aggregator, hidden=8, iterations=20),
    "rnd_oe": lambda aggregator: detectors.RndOe(aggregator, target=(8,), predictor=(8,), output=4, epochs=3),
    "rnd_oe_and_ace": lambda aggregator: combined(detectors.RndOeAndAce, aggregator),
    "rnd_oe_or_ace": lambda aggregator: combined(detectors.RndOeOrAce, aggregator),
}
RULES = ("none", "cumsum", "running_mean", "sliding_mean:3", "sliding_max:3", "ema:0.3")


@pytest.fixture(name="kind", params=[(name, rule) for name in KINDS for rule in RULES], ids="-".join)
def _kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture(name="make")
def _make(kind: tuple[str, str], make_rollout: Make) -> Make:
    return partial(make_rollout, all_act=True) if KINDS[kind[0]] in OF_ALL else make_rollout


@pytest.fixture
def detector(kind: tuple[str, str], make: Make) -> Detector:
    name, rule = kind
    detector = KINDS[name](rule)
    detector.fit([make(i, success=i % 2 == 0) for i in range(8)])
    return detector


def stream(detector: Detector, rollout: Rollout) -> list[float]:
    detector.reset()
    length = len(rollout.tensor(detector.needs[0]))
    return [detector.update({n: rollout.tensor(n)[t] for n in rollout.tensors}) for t in range(length)]


def test_batch_equals_streaming(detector: Detector, make: Make) -> None:
    for i in (100, 101):
        rollout = make(i)
        np.testing.assert_allclose(detector.score(rollout), stream(detector, rollout), rtol=1e-6, atol=1e-9)


def test_scoring_an_episode_leaves_the_running_one_alone(detector: Detector, make: Make) -> None:
    rollout, other = make(100), make(101)
    expected = stream(detector, rollout)
    detector.reset()
    for t, value in enumerate(expected):
        detector.score(other)
        assert detector.update({n: rollout.tensor(n)[t] for n in rollout.tensors}) == value


def test_state_round_trip(detector: Detector, make: Make) -> None:
    tensors, config = detector.state()
    twin = detector_from_state(detector.name, tensors, config)
    assert type(twin) is type(detector)
    np.testing.assert_array_equal(twin.score(make(100)), detector.score(make(100)))


def test_state_that_lacks_a_field_or_a_tensor_is_refused_by_name(detector: Detector) -> None:
    tensors, config = detector.state()
    for missing in config:
        with pytest.raises(InputError, match=f"^file: {missing}: "):
            detector_from_state(detector.name, tensors, {k: v for k, v in config.items() if k != missing}, "file")
    for missing in tensors:
        with pytest.raises(InputError, match=missing.rpartition("/")[2]):
            detector_from_state(detector.name, {k: v for k, v in tensors.items() if k != missing}, config, "file")


def test_missing_and_misshapen_tensors_are_named(detector: Detector, make: Make) -> None:
    rollout = make(100)
    step = {n: rollout.tensor(n)[0] for n in rollout.tensors}
    for name in detector.needs:
        with pytest.raises(InputError, match=f"^{name}: tensor is missing"):
            detector.update({n: v for n, v in step.items() if n != name})
        with pytest.raises(InputError, match=f"^{name}: tensor has the wrong shape"):
            detector.update({**step, name: step[name][..., :-1]})
        with pytest.raises(InputError, match=f"^{name}: tensor has the wrong shape or type"):
            detector.update({**step, name: step[name].astype(np.int32)})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_gives_nan(detector: Detector, make: Make, bad: float) -> None:
    rollout = make(100)
    step = {n: rollout.tensor(n)[0].copy() for n in rollout.tensors}
    for name in detector.needs:
        spoilt = step[name].copy()
        spoilt.flat[-1] = bad
        detector.reset()
        assert math.isnan(detector.update({**step, name: spoilt}))


def test_unfitted_detectors_have_no_state() -> None:
    for kind in KINDS.values():
        with pytest.raises(InputError, match="not fitted"):
            kind("none").state()


def test_unknown_detector_version_and_aggregator(make_rollout: Make) -> None:
    detector = Vfd()
    detector.fit([make_rollout(0)])
    tensors, config = detector.state()
    with pytest.raises(InputError, match=r"b: unknown detector; expected vfd, safe_mlp.*; found oracle"):
        detector_from_state("oracle", tensors, config, "b")
    with pytest.raises(InputError, match="b: version: has another version; expected 1; found 2"):
        detector_from_state("vfd", tensors, {**config, "version": 2}, "b")
    with pytest.raises(InputError, match="aggregator"):
        Vfd("median")


def test_vfd_refuses_other_flow_times_than_it_was_calibrated_with(make_rollout: Make) -> None:
    detector, rollout = Vfd(), make_rollout(0)
    detector.fit([rollout])
    step = {n: rollout.tensor(n)[0] for n in rollout.tensors}
    with pytest.raises(InputError, match=r"^flow_times: differ"):
        detector.update({**step, "flow_times": step["flow_times"] - 0.05})


def test_vfd_of_the_executed_part_is_smaller(make_rollout: Make) -> None:
    rollout = make_rollout(0)
    assert (Vfd("none", steps=2).score(rollout) < Vfd("none").score(rollout)).all()
