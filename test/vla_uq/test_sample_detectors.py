"""What the detectors of sampled chunks have in common."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vla_uq import detectors
from vla_uq.detectors import samples as samples_module
from vla_uq.detectors.samples import SamplesDetector
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout

Make = Callable[..., Rollout]
SPREAD: tuple[type[SamplesDetector], ...] = (
    *(detectors.TotalVariance, detectors.TranslationVariance, detectors.RotationVariance, detectors.GripperVariance),
    *(detectors.ClusterEntropy, detectors.Ace, detectors.Stac, detectors.StacMedian),
)
ALL = (*SPREAD, detectors.StacSingle)


def with_draws(rollout: Rollout, draws: int) -> Rollout:
    return Rollout(rollout.meta, {"samples": rollout.tensor("samples")[:, :, :draws]})


@pytest.mark.parametrize("kind", SPREAD)
def test_one_draw_is_refused_with_how_to_get_more(kind: type[SamplesDetector], make_rollout: Make) -> None:
    with pytest.raises(InputError, match=rf"^{kind.name}: samples: too few draws .* found 1; record more .*--draws 10"):
        kind().fit([with_draws(make_rollout(0), 1)])


def test_stac_single_needs_only_the_executed_chunk(make_rollout: Make) -> None:
    few, many = detectors.StacSingle(), detectors.StacSingle()
    few.fit([with_draws(make_rollout(0), 1)])
    many.fit([make_rollout(0)])
    np.testing.assert_array_equal(few.score(with_draws(make_rollout(1), 1)), many.score(make_rollout(1)))


@pytest.mark.parametrize("kind", ALL)
class TestAll:
    def test_a_trace_without_samples_is_refused_with_how_to_get_them(
        self, kind: type[SamplesDetector], make_rollout: Make
    ) -> None:
        rollout = make_rollout(0)
        bare = Rollout(rollout.meta, {"features": rollout.tensor("features")})
        with pytest.raises(InputError, match=r"^episode-0000: samples: rollout lacks a tensor; record more draws: "):
            kind().fit([bare])

    def test_another_number_of_draws_than_fitted_is_refused(
        self, kind: type[SamplesDetector], make_rollout: Make
    ) -> None:
        detector = kind()
        detector.fit([make_rollout(0)])
        with pytest.raises(InputError, match=r"^episode-0001: samples: tensor has the wrong shape"):
            detector.score(with_draws(make_rollout(1), 4))

    def test_nothing_to_fit_to(self, kind: type[SamplesDetector]) -> None:
        with pytest.raises(InputError, match=f"^{kind.name}: no rollouts to fit to"):
            kind().fit([])

    def test_other_members_do_not_matter(self, kind: type[SamplesDetector], make_rollout: Make) -> None:
        detector, rollout = kind(), make_rollout(1)
        detector.fit([make_rollout(0)])
        own = rollout.tensor("samples")
        two = Rollout(rollout.meta, {"samples": np.concatenate([own, own + 3], axis=1)})
        np.testing.assert_array_equal(detector.score(two), detector.score(rollout))

    def test_long_episodes_are_scored_in_parts(
        self, kind: type[SamplesDetector], make_rollout: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        detector, rollout = kind(), make_rollout(1)
        detector.fit([make_rollout(0)])
        at_once = detector.score(rollout)
        monkeypatch.setattr(samples_module, "PAIRS_AT_ONCE", 1)
        np.testing.assert_allclose(detector.score(rollout), at_once, rtol=1e-9, atol=1e-12)

    def test_a_state_that_could_not_score_is_refused(self, kind: type[SamplesDetector], make_rollout: Make) -> None:
        detector = kind()
        detector.fit([make_rollout(0)])
        tensors, config = detector.state()
        with pytest.raises(InputError, match=r"^file: shape: is wrong"):
            kind.from_state(tensors, {**config, "shape": [5, 4]}, "file")
        if kind is not detectors.StacSingle:
            with pytest.raises(InputError, match=r"^file: samples: too few draws"):
                kind.from_state(tensors, {**config, "shape": [1, 4, 7]}, "file")
        if "execute_steps" in config:
            with pytest.raises(InputError, match=r"^file: execute_steps: .*do not overlap"):
                kind.from_state(tensors, {**config, "execute_steps": 4}, "file")


def test_the_parts_of_the_variance_add_up_to_the_total(make_rollout: Make) -> None:
    scores = {}
    for kind in SPREAD[:4]:
        detector = kind("cumsum")
        detector.fit([make_rollout(0)])
        scores[kind.name] = detector.score(make_rollout(1))
    total = scores.pop("total_variance")
    np.testing.assert_allclose(sum(scores.values()), total, rtol=1e-9)
