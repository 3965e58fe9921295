"""Two detectors as one: FIPER's AND and OR."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytest

from vla_uq.detectors import Ace, Progress, RndOe, RndOeAndAce, RndOeOrAce, Tensors, detector_from_state
from vla_uq.detectors.base import StreamingDetector
from vla_uq.detectors.fiper import Combination
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout, RolloutMeta


class Reading(StreamingDetector):
    """Its score is what a tensor says; it notes what it was fitted to."""

    name: ClassVar[str] = "reading"
    version: ClassVar[int] = 1

    def __init__(self, tensor: str, aggregator: str = "none") -> None:
        super().__init__(aggregator)
        self.name, self.needs = tensor, (tensor,)  # type: ignore[misc]
        self.seen: list[str] = []

    def fit(self, rollouts: Iterable[Rollout], progress: Progress | None = None) -> None:
        self.seen = [rollout.meta.episode_id for rollout in rollouts]

    def step(self, tensors: Tensors) -> float:
        return float(tensors[self.needs[0]])

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {"version": 1}

    @classmethod
    def from_state(cls, tensors: Tensors, config: Mapping[str, Any], where: str = "") -> Reading:
        raise NotImplementedError


def episode(number: int, a: list[float], b: list[float], success: bool | None = True) -> Rollout:
    meta = RolloutMeta(f"e{number}", "t", 0, "none", success, len(a), "p")
    return Rollout(meta, {"a": np.array(a), "b": np.array(b)})


def parts(aggregator: str = "none") -> list[Reading]:
    return [Reading("a", aggregator), Reading("b", aggregator)]


SUCCESSES = [episode(i, [0.0, 1.0 + i, 0.5], [0.0, 10.0 * (1 + i), 5.0]) for i in range(20)]
FAILURES = [episode(100 + i, [999.0], [999.0], success) for i, success in enumerate([False, None])]


@pytest.mark.parametrize("kind", [RndOeAndAce, RndOeOrAce])
def test_halves_are_apart_and_thresholds_are_order_statistics(kind: type[Combination]) -> None:
    a, b = parts()
    detector = kind(alpha=0.25, parts=[a, b], seed=3)
    detector.fit([*SUCCESSES, *FAILURES])
    assert a.seen == b.seen
    assert len(a.seen) == 10
    held_out = [r for r in SUCCESSES if r.meta.episode_id not in a.seen]
    rank = math.ceil((10 + 1) * 0.75)
    expected = {name: sorted(r.tensor(name).max() for r in held_out)[rank - 1] for name in ("a", "b")}
    assert detector.state()[1]["thresholds"] == expected
    again = kind(alpha=0.25, parts=parts(), seed=3)
    again.fit([*SUCCESSES, *FAILURES])
    assert again.state()[1]["thresholds"] == expected
    other = kind(alpha=0.25, parts=parts(), seed=4)
    other.fit(SUCCESSES)
    assert other.parts[0].seen != a.seen  # type: ignore[attr-defined]


def test_published_quantile_is_interpolated_and_takes_any_number() -> None:
    detector = RndOeAndAce(alpha=0.1, quantile="interpolated", parts=parts())
    detector.fit(SUCCESSES[:4])
    held_out = [r for r in SUCCESSES[:4] if r.meta.episode_id not in detector.parts[0].seen]  # type: ignore[attr-defined]
    assert len(held_out) == 2
    expected = np.quantile([r.tensor("a").max() for r in held_out], 0.9)
    assert detector.state()[1]["thresholds"]["a"] == pytest.approx(expected)


def test_and_takes_the_smaller_or_the_larger_share_of_the_thresholds() -> None:
    both, either = RndOeAndAce(alpha=0.25, parts=parts()), RndOeOrAce(alpha=0.25, parts=parts())
    for detector in (both, either):
        detector.fit(SUCCESSES)
        detector._thresholds = {"a": 2.0, "b": 20.0}
    rollout = episode(0, [1.0, 3.0, 3.0, math.nan, 1.0], [10.0, 10.0, 40.0, 90.0, math.nan])
    for detector, expected in (
        (both, [0.5, 0.5, 1.5, math.nan, math.nan]),
        (either, [0.5, 1.5, 2.0, math.nan, math.nan]),
    ):
        np.testing.assert_array_equal(detector.score(rollout), expected)
        detector.reset()
        streamed = [detector.update({name: rollout.tensor(name)[t] for name in "ab"}) for t in range(5)]
        np.testing.assert_array_equal(streamed, expected)


def test_windows_are_those_of_the_parts() -> None:
    detector = RndOeOrAce(alpha=0.25, parts=parts("sliding_mean:2"))
    detector.fit(SUCCESSES)
    threshold = detector.state()[1]["thresholds"]["a"]
    assert detector.score(episode(0, [1.0, 3.0, 0.0], [0.0] * 3)) == pytest.approx(np.array([1, 2, 1.5]) / threshold)
    detector.update({"a": np.float64(5), "b": np.float64(0)})
    detector.reset()
    assert detector.update({"a": np.float64(1), "b": np.float64(0)}) == pytest.approx(1 / threshold)


def test_needs_what_both_need() -> None:
    assert RndOeAndAce(parts=parts()).needs == ("a", "b")
    assert RndOeAndAce().needs == ("features", "samples")


def test_too_few_successes_are_refused_with_how_many_it_takes() -> None:
    with pytest.raises(InputError, match=r"^rnd_oe_and_ace: a: alpha: too few .* n >= 9 .* n = 5, which allows"):
        RndOeAndAce(parts=parts()).fit(SUCCESSES[:10])
    with pytest.raises(InputError, match=r"^rnd_oe_and_ace: rollouts: too few successes; expected 2 or more; found 1"):
        RndOeAndAce(parts=parts(), quantile="interpolated").fit([*SUCCESSES[:1], *FAILURES])


def test_scores_that_make_no_threshold() -> None:
    silent = [episode(i, [0.0], [1.0]) for i in range(20)]
    with pytest.raises(InputError, match=r"^rnd_oe_or_ace: a: score: threshold is not positive"):
        RndOeOrAce(parts=parts()).fit(silent)
    spoilt = [episode(i, [1.0], [math.nan]) for i in range(20)]
    with pytest.raises(InputError, match=r"^rnd_oe_or_ace: b: e\d+: score is not finite"):
        RndOeOrAce(parts=parts()).fit(spoilt)


def test_with_the_published_parts(make_rollout: Callable[..., Rollout]) -> None:
    pytest.importorskip("torch")
    small = RndOe("none", target=(8,), predictor=(8, 8), output=4, epochs=3)
    detector = RndOeAndAce(alpha=0.25, parts=(small, Ace()))
    detector.fit([make_rollout(i) for i in range(12)])
    rollout = make_rollout(50)
    scores = detector.score(rollout)
    twin = detector_from_state("rnd_oe_and_ace", *detector.state())
    np.testing.assert_array_equal(twin.score(rollout), scores)
    streamed = [twin.update({name: rollout.tensor(name)[t] for name in twin.needs}) for t in range(len(scores))]
    np.testing.assert_allclose(streamed, scores, rtol=1e-6)
    thresholds = detector.state()[1]["thresholds"]
    normalised = [part.score(rollout) / thresholds[part.name] for part in detector.parts]
    np.testing.assert_array_equal(scores, np.minimum(*normalised))


def test_a_wrong_choice_is_named() -> None:
    with pytest.raises(InputError, match=r"^quantile: unknown quantile; expected order_statistic, interpolated"):
        RndOeAndAce(quantile="median")
    with pytest.raises(InputError, match=r"^alpha: must lie inside \(0, 1\); found 1"):
        RndOeAndAce(alpha=1.0)
