"""Distances between features: the published numbers, what is right where the published code is not, and the caps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_uq.detectors import CosineKnn, EuclideanKnn, Mahalanobis, PcaKmeans, detector_from_state
from vla_uq.detectors.embedding import ContrastDetector
from vla_uq.detectors.learnt import Standardiser
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout, RolloutMeta

Make = Callable[..., Rollout]
PLAIN: dict[str, Any] = {"aggregator": "none", "standardise": False}


def episode(features: Any, success: bool | None = True, number: int = 0) -> Rollout:
    meta = RolloutMeta(f"e{number}", "push", number, "none", success, 10, "p")
    return Rollout(meta, {"features": np.asarray(features, np.float32)})


def fitted(detector: ContrastDetector, successes: Any, failures: Any = None) -> ContrastDetector:
    rollouts = [episode(successes)] + ([] if failures is None else [episode(failures, False, 1)])
    detector.fit(rollouts)
    return detector


def test_golden_euclidean_knn() -> None:
    detector = fitted(EuclideanKnn(**PLAIN, k=2), [(0, 0), (1, 0), (0, 1)])
    np.testing.assert_allclose(detector.score(episode([(0, 0), (3, 4)])), [0.5, 4.3574], atol=5e-5)


def test_golden_mahalanobis_formula() -> None:
    rng = np.random.default_rng(0)
    successes, failures, queries = rng.normal(size=(50, 4)), rng.normal(1, 2, (40, 4)), rng.normal(size=(6, 4))
    detector = fitted(Mahalanobis(**PLAIN, ridge=1e-4), successes, failures)

    def distance(points: np.ndarray, e: np.ndarray) -> float:
        precision = np.linalg.pinv(np.cov(points.T, ddof=1) + 1e-4 * np.eye(4))
        off = e - points.mean(axis=0)
        return float(np.sqrt(off @ precision @ off))

    expected = [distance(successes, e) - distance(failures, e) for e in queries]
    np.testing.assert_allclose(detector.score(episode(queries)), expected, rtol=1e-4, atol=1e-5)


def test_mahalanobis_of_fewer_steps_than_features_is_finite() -> None:
    rng = np.random.default_rng(0)
    detector = fitted(Mahalanobis(**PLAIN), rng.normal(size=(1, 8)), rng.normal(size=(3, 8)))
    assert np.isfinite(detector.score(episode(rng.normal(size=(5, 8))))).all()


@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 100), st.booleans())
def test_nearest_neighbours_are_those_of_a_full_search(k: int, count: int, seed: int, cosine: bool) -> None:
    rng = np.random.default_rng(seed)
    points, queries = rng.normal(size=(count, 5)).astype(np.float32), rng.normal(size=(4, 5)).astype(np.float32)
    detector = fitted((CosineKnn if cosine else EuclideanKnn)(**PLAIN, k=k), points)
    if cosine:
        products = queries @ points.T
        lengths = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(points, axis=1)
        distances = 1 - products / lengths
    else:
        distances = np.linalg.norm(queries[:, None] - points, axis=2)
    expected = np.sort(distances, axis=1)[:, :k].mean(axis=1)
    np.testing.assert_allclose(detector.score(episode(queries)), expected, atol=1e-5)


def test_a_vector_of_length_zero_is_at_right_angles_to_all_others() -> None:
    detector = fitted(CosineKnn(**PLAIN, k=1), [(1, 0), (0, 1)])
    np.testing.assert_allclose(detector.score(episode([(0, 0), (2, 0), (-1, -1)])), [1, 0, 1 + 0.5**0.5], atol=1e-6)


def test_distances_far_from_the_origin_lose_no_digits() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(200, 8)) + 1000
    detector = fitted(EuclideanKnn(**PLAIN, k=3), points)
    queries = (points[:5] + 0.01).astype(np.float32)
    kept = points.astype(np.float32).astype(np.float64)
    distances = np.linalg.norm(queries[:, None].astype(np.float64) - kept, axis=2)
    np.testing.assert_allclose(detector.score(episode(queries)), np.sort(distances)[:, :3].mean(axis=1), rtol=1e-9)


def test_b2_each_side_of_pca_kmeans_projects_by_its_own_components_and_mean() -> None:
    rng = np.random.default_rng(0)
    # Successes vary along the first axis, failures along the second and far from the origin. The published code,
    # which projects failures too by the successes' components, could not see the second axis at all.
    successes = np.c_[rng.normal(0, 5, 100), np.zeros(100), rng.normal(0, 0.01, 100)]
    failures = np.c_[np.full(100, 20.0), rng.normal(30, 5, 100), rng.normal(0, 0.01, 100)]
    detector = fitted(PcaKmeans(**PLAIN, components=1, clusters=8), successes, failures)
    tensors, _ = detector.state()
    assert abs(tensors["success/components"][0, 0]) > 0.99
    assert abs(tensors["failure/components"][0, 1]) > 0.99
    np.testing.assert_allclose(tensors["failure/mean"], failures.mean(axis=0), rtol=1e-4, atol=1e-4)
    on_success, on_failure = (3.0, 90.0, 0.0), (90.0, 30.0, 0.0)
    low, high = detector.score(episode([on_success, on_failure]))
    for query, score in ((on_success, low), (on_failure, high)):
        expected = []
        for points in (successes, failures):
            side = "success" if points is successes else "failure"
            axis = np.linalg.svd(points - points.mean(axis=0))[2][0]
            mine = tensors[f"{side}/components"][0]
            axis *= np.sign(axis @ mine)
            projected = (np.array(query) - points.mean(axis=0)) @ axis
            expected.append(np.abs(projected - tensors[f"{side}/centres"][:, 0]).min())
        assert score == pytest.approx(expected[0] - expected[1], abs=1e-3)
    assert low < 0 < high


@pytest.mark.parametrize("kind", [CosineKnn, EuclideanKnn, Mahalanobis, PcaKmeans])
def test_failures_raise_the_score_and_without_them_it_is_the_distance_to_successes(
    kind: type[ContrastDetector], make_rollout: Make
) -> None:
    successes = [make_rollout(i) for i in range(10)]
    failures = [make_rollout(i, success=False) for i in range(20, 30)]
    contrast, alone, asked = kind(**PLAIN), kind(**PLAIN), kind(**PLAIN, success_only=True)
    contrast.fit([*successes, *failures])
    alone.fit(successes)
    asked.fit([*successes, *failures])
    assert [d.state()[1]["success_only"] for d in (contrast, alone, asked)] == [False, True, True]
    fresh = make_rollout(50, success=False)
    np.testing.assert_array_equal(alone.score(fresh), asked.score(fresh))
    assert (alone.score(fresh) >= 0).all()
    assert contrast.score(fresh)[2:].mean() > contrast.score(make_rollout(51)).mean()
    tensors, config = alone.state()
    assert not any(name.startswith("failure/") for name in tensors)
    np.testing.assert_array_equal(detector_from_state(kind.name, tensors, config).score(fresh), alone.score(fresh))
    alone.fit([*successes, *failures])
    assert not alone.success_only


def test_max_points_is_a_cap_in_proportion_with_a_seed_of_its_own(make_rollout: Make) -> None:
    rollouts = [make_rollout(i, success=i % 4 != 0) for i in range(40)]
    steps = [sum(len(r.tensor("features")) for r in rollouts if r.meta.success == won) for won in (True, False)]
    detector = CosineKnn(max_points=50)
    detector.fit(rollouts)
    kept = [detector.state()[0][f"{side}/points"].shape[1] for side in ("success", "failure")]
    assert kept == [round(50 * n / sum(steps)) for n in steps]
    np.random.seed(123)
    again, other = CosineKnn(max_points=50), CosineKnn(max_points=50, seed=1)
    again.fit(rollouts)
    other.fit(rollouts)
    np.testing.assert_array_equal(again.state()[0]["success/points"], detector.state()[0]["success/points"])
    assert not np.array_equal(other.state()[0]["success/points"], detector.state()[0]["success/points"])


def test_b16_features_are_standardised_over_the_fitting_steps(make_rollout: Make) -> None:
    rollouts = [make_rollout(i, success=i % 2 == 0) for i in range(10)]
    detector, scaled = CosineKnn(), CosineKnn()
    detector.fit(rollouts)

    def stretched(rollout: Rollout) -> Rollout:
        return Rollout(rollout.meta, {"features": (1000 * rollout.tensor("features") - 7).astype(np.float32)})

    scaled.fit([stretched(r) for r in rollouts])
    fresh = make_rollout(99)
    np.testing.assert_allclose(scaled.score(stretched(fresh)), detector.score(fresh), rtol=1e-4)


def test_a_feature_that_never_varied_is_not_blown_up() -> None:
    scaling = Standardiser.fit([np.array([(1.0, 5.0)]), np.array([(3.0, 5.0)])])
    np.testing.assert_allclose(scaling(np.array([(3.0, 6.0)])), [(1.0, 1.0)])


def test_one_step_that_is_not_finite_leaves_the_others_scored() -> None:
    detector = fitted(EuclideanKnn(**PLAIN), [(0, 0), (1, 0)])
    scores = detector.score(episode([(0, 0), (math.nan, 0), (1, 1)]))
    assert np.isnan(scores).tolist() == [False, True, False]


def test_another_feature_tensor() -> None:
    rollout = episode([(0.0, 0.0), (1.0, 0.0)])
    rollout = Rollout(rollout.meta, {"features/token_mean": rollout.tensors["features"]})
    detector = EuclideanKnn(**PLAIN, feature="features/token_mean")
    detector.fit([rollout])
    assert detector.needs == ("features/token_mean",)
    twin = detector_from_state("euclidean_knn", *detector.state())
    assert twin.needs == detector.needs
    np.testing.assert_array_equal(twin.score(rollout), detector.score(rollout))


def test_refusals_name_episode_and_field() -> None:
    good, detector = episode([(0.0, 1.0)]), CosineKnn()
    for rollouts, message in (
        ([], "rollouts: needs successes; found 0 failures"),
        ([episode([(0, 1)], False)], "rollouts: needs successes; found 1 failures"),
        ([good, episode([(0, 1)], None, 1)], "e1: episode has no outcome"),
        ([good, episode([(0, 1, 2)], True, 1)], "e1: steps differ in size; expected 2; found 3"),
        ([good, episode([(0, math.inf)], True, 1)], "e1: steps are not finite"),
        ([episode([0, 1])], "e0: features: tensor has the wrong shape"),
    ):
        with pytest.raises(InputError, match=message):
            detector.fit(rollouts)
    for parameters in ({"k": 0}, {"max_points": 0}):
        with pytest.raises(InputError, match=f"cosine_knn: {next(iter(parameters))}: is wrong; expected above 0"):
            CosineKnn(**parameters)
    with pytest.raises(InputError, match="mahalanobis: ridge"):
        Mahalanobis(ridge=0)
    detector.fit([good, episode([(1, 1)], False, 1)])
    tensors, config = detector.state()
    with pytest.raises(InputError, match="file: scale: is wrong; expected positive"):
        detector_from_state("cosine_knn", {**tensors, "scale": 0 * tensors["scale"]}, config, "file")
    spoilt = {**tensors, "failure/points": math.nan * tensors["failure/points"]}
    with pytest.raises(InputError, match="file: failure: points: is not finite"):
        detector_from_state("cosine_knn", spoilt, config, "file")
