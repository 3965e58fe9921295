"""The scores of flow policies as detectors: the estimators' own numbers, and what each trace does not allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vla_uq import detectors
from vla_uq.bundle import PolicyIdentity
from vla_uq.calibration.build import build_bundle
from vla_uq.calibration.division import SHAPES_ONLY
from vla_uq.contracts import Space
from vla_uq.detectors import DETECTORS, Detector, LastLayerVfd, Vfd, detector_from_state
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout
from vla_uq.uncertainty.action_l2 import action_l2
from vla_uq.uncertainty.decu import decu, decu_kl
from vla_uq.uncertainty.gu import gaussian_entropy, log_variance
from vla_uq.uncertainty.last_layer import LastLayerPosterior, MomentAccumulator
from vla_uq.uncertainty.vfd import vfd

Make = Callable[..., Rollout]
TIMES = np.arange(1, 10) / 10
OWN: dict[str, tuple[str, Callable[[Any], float]]] = {
    "vfd": ("velocities", lambda v: vfd(v[:1], TIMES)),
    "vfd_two_way": ("velocities", lambda v: vfd(v, TIMES)),
    "decu": ("velocities", lambda v: decu(v[0, :, :, -1])),
    "decu_kl": ("velocities", lambda v: decu_kl(v, TIMES)),
    "action_l2": ("samples", lambda s: action_l2(s, shared_noise=True)),
    "gu": ("samples", log_variance),
    "gu_jazbec": ("samples", gaussian_entropy),
}
"""The tensor that each looks at, and its score of one inference."""


def with_tensors(rollout: Rollout, **tensors: np.ndarray) -> Rollout:
    return Rollout(rollout.meta, {**rollout.tensors, **tensors})


@pytest.mark.parametrize("name", OWN)
def test_a_detector_is_its_estimator(name: str, make_rollout: Make) -> None:
    detector, rollout = DETECTORS[name]("none"), make_rollout(1, all_act=True)  # type: ignore[call-arg]
    detector.fit([make_rollout(0, all_act=True)])
    tensor, estimator = OWN[name]
    expected = [estimator(value) for value in rollout.tensor(tensor)]
    np.testing.assert_allclose(detector.score(rollout), expected, rtol=1e-6)


def test_action_l2_over_all_pairs_of_draws(make_rollout: Make) -> None:
    rollout = make_rollout(1, all_act=True)
    scores = []
    for shared in (True, False):
        detector = detectors.ActionL2("none", shared_noise=shared)
        detector.fit([rollout])
        scores.append(detector.score(rollout))
        assert detector.state()[1]["shared_noise"] is shared
    np.testing.assert_allclose(scores[1], [action_l2(s) for s in rollout.tensor("samples")], rtol=1e-6)
    assert not np.allclose(scores[0], scores[1])


@pytest.mark.parametrize("name", ["vfd_two_way", "decu_kl"])
def test_two_way_scores_need_every_members_path(name: str, make_rollout: Make) -> None:
    with pytest.raises(InputError, match=r"velocities: every member.*expected 2 actors of 2 members; found 1; use vfd"):
        DETECTORS[name]().fit([make_rollout(0)])


@pytest.mark.parametrize("name", ["action_l2", "gu", "gu_jazbec"])
def test_chunks_of_one_member_are_not_enough(name: str, make_rollout: Make) -> None:
    with pytest.raises(InputError, match=f"^{name}: samples: needs chunks of two members"):
        DETECTORS[name]().fit([make_rollout(0)])


def test_one_way_vfd_is_blind_to_the_other_members_paths(make_rollout: Make) -> None:
    rollout = make_rollout(1, all_act=True)
    moved = rollout.tensor("velocities").copy()
    moved[:, 1] += 3
    detector = Vfd()
    detector.fit([rollout])
    np.testing.assert_array_equal(detector.score(rollout), detector.score(with_tensors(rollout, velocities=moved)))


@pytest.mark.parametrize("name", [*OWN, "perplexity"])
def test_what_learns_no_values_may_be_fitted_to_what_calibrates_it(name: str) -> None:
    assert name in SHAPES_ONLY and "last_layer_vfd" not in SHAPES_ONLY


class TestLastLayer:
    def test_the_posterior_of_the_episodes_that_went_well(self, make_rollout: Make) -> None:
        good, bad, other = make_rollout(0), make_rollout(1, success=False), make_rollout(2)
        detector = LastLayerVfd("none", prior=2.0, residual=0.5, outputs=12)
        detector.fit([good, bad, other])
        moments = MomentAccumulator(8)
        for rollout in (good, other):
            moments.add(rollout.tensor("last_layer"))
        n = len(good.tensor("last_layer")) + len(other.tensor("last_layer"))
        posterior = LastLayerPosterior.fit(moments.moment, chunks=n, outputs=12, residual=0.5, prior=2.0)
        expected = [posterior.score(phi, TIMES) for phi in bad.tensor("last_layer")]
        np.testing.assert_allclose(detector.score(bad), expected, rtol=1e-5)

    def test_what_was_not_met_scores_higher(self, make_rollout: Make) -> None:
        rollout = make_rollout(3)
        detector = LastLayerVfd("none")
        detector.fit([make_rollout(i) for i in range(3)])
        far = with_tensors(rollout, last_layer=5 + rollout.tensor("last_layer"))
        assert (detector.score(far) > 2 * detector.score(rollout)).all()

    def test_outputs_are_a_factor_and_more_chunks_a_smaller_posterior(self, make_rollout: Make) -> None:
        def scores(**options: Any) -> np.ndarray:
            detector = LastLayerVfd("none", **options)
            detector.fit([make_rollout(0)])
            return detector.score(make_rollout(1))

        np.testing.assert_allclose(scores(outputs=12), 12 * scores(), rtol=1e-6)
        assert (scores(chunks=1000.0) < scores(chunks=10.0)).all()
        assert (scores(weight="uniform") != scores()).all()

    def test_the_posterior_travels_in_the_bundle(self, make_rollout: Make) -> None:
        policy = PolicyIdentity("p1", Space.EE_DELTA, horizon=4, dim=3, step_duration=0.05, execute_steps=2)
        training, calibration = [make_rollout(i) for i in range(6)], [make_rollout(i) for i in range(10, 40)]
        bundle = build_bundle(policy, training, calibration, alpha=0.1, seed=0, detectors=[LastLayerVfd()])
        tensors, config = bundle.detectors["last_layer_vfd"].state()
        assert tensors["root"].shape == (9, 9) and tensors["root"].dtype == np.float32
        twin = detector_from_state("last_layer_vfd", tensors, config)
        np.testing.assert_array_equal(
            twin.score(make_rollout(50)), bundle.detectors["last_layer_vfd"].score(make_rollout(50))
        )

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"last_layer": np.nan}, "episode-0001: last_layer: is not finite"),
            ({"flow_times": 0.05}, "episode-0001: flow_times: differ"),
        ],
    )
    def test_fitting_episodes_that_cannot_be_learnt_from(
        self, make_rollout: Make, change: dict[str, float], message: str
    ) -> None:
        second = make_rollout(1)
        spoilt = {name: second.tensor(name) + np.float32(value) for name, value in change.items()}
        with pytest.raises(InputError, match=f"^{message}"):
            LastLayerVfd().fit([make_rollout(0), with_tensors(second, **spoilt)])

    def test_failures_alone_and_wrong_settings(self, make_rollout: Make) -> None:
        with pytest.raises(InputError, match="needs episodes that did not fail"):
            LastLayerVfd().fit([make_rollout(0, success=False)])
        for setting in ("prior", "residual", "outputs", "chunks"):
            with pytest.raises(InputError, match=f"last_layer_vfd: {setting}: is wrong"):
                LastLayerVfd("none", **{setting: -1})  # type: ignore[arg-type]
        with pytest.raises(InputError, match="not fitted"):
            LastLayerVfd().score(make_rollout(0))


def test_all_are_registered_once() -> None:
    kinds: list[type[Detector]] = [
        *(detectors.VfdTwoWay, detectors.LastLayerVfd, detectors.ActionL2, detectors.Decu, detectors.DecuKl),
        *(detectors.Gu, detectors.GuJazbec, detectors.Perplexity),
    ]
    assert [DETECTORS[kind.name] for kind in kinds] == kinds and len({k.name for k in kinds}) == 8
