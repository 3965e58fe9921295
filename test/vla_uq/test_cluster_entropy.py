"""Entropy of the clusters of sampled chunks."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_uq.errors import InputError
from vla_uq.uncertainty.clusters import cluster_entropy

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(2, 12), st.sampled_from([0.01, 0.5, 1.0, 2.0, 4.0, 8.0]), st.booleans())
def test_equals_the_clusters_of_scikit_learn(seed: int, draws: int, distance: float, on_a_grid: bool) -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    samples = np.random.default_rng(seed).normal(size=(draws, 3, 2))
    if on_a_grid:  # many equal distances, some of them equal to the threshold
        samples = samples.round()
    clustering = cluster.AgglomerativeClustering(n_clusters=None, distance_threshold=distance, linkage="ward")
    shares = np.bincount(clustering.fit_predict(samples.reshape(draws, -1))) / draws
    assert cluster_entropy(samples, distance) == pytest.approx(-sum(p * math.log(p) for p in shares), abs=1e-12)


def test_values() -> None:
    samples = np.array([0.0, 0.1, 0.2, 5.0, 5.1, 9.0]).reshape(6, 1, 1)
    shares = np.array([3, 2, 1]) / 6
    assert cluster_entropy(samples, 1.0) == pytest.approx(-(shares * np.log(shares)).sum())
    assert cluster_entropy(samples, 1e-3) == pytest.approx(math.log(6))
    assert cluster_entropy(samples, 100.0) == 0.0


@given(SEEDS)
def test_all_at_once_equals_one_by_one(seed: int) -> None:
    samples = np.random.default_rng(seed).normal(size=(4, 6, 3, 2))
    np.testing.assert_array_equal(cluster_entropy(samples, 2.0), [cluster_entropy(s, 2.0) for s in samples])


@pytest.mark.parametrize("distance", [0.0, -1.0, math.nan, math.inf])
def test_a_distance_that_is_none(distance: float) -> None:
    with pytest.raises(InputError, match=r"^distance: must be positive"):
        cluster_entropy(np.zeros((3, 2, 2)), distance)


def test_without_scipy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.cluster.hierarchy", None)
    with pytest.raises(InputError, match=r"^cluster_entropy: needs scipy; pip install vla_monitor\[train\]"):
        cluster_entropy(np.zeros((3, 2, 2)), 1.0)
