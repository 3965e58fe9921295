"""Last-layer VFD: closed form against drawn layers, and the one-pass fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_uq.errors import InputError
from vla_uq.flow.quadrature import grid
from vla_uq.flow.schedules import OT, VP
from vla_uq.uncertainty.last_layer import LastLayerPosterior, MomentAccumulator
from vla_uq.uncertainty.vfd import vfd

TIMES = grid(10)[1:]
WIDTH, OUTPUTS, STEPS = 6, 3, 4


def posterior(seed: int = 0, chunks: float = 50.0) -> LastLayerPosterior:
    accumulator = MomentAccumulator(WIDTH)
    accumulator.add(np.random.default_rng(seed).normal(size=(200, WIDTH)))
    return LastLayerPosterior.fit(accumulator.moment, chunks=chunks, outputs=OUTPUTS, residual=0.5, prior=2.0)


@pytest.mark.parametrize(
    "options",
    [{}, {"weight": "uniform", "quadrature": "log"}, {"schedule": VP()}, {"schedule": OT(0.1), "prediction": "clean"}],
    ids=str,
)
def test_equals_the_vfd_of_layers_drawn_from_the_posterior(options: dict[str, Any]) -> None:
    fitted = posterior()
    rng = np.random.default_rng(1)
    phi = rng.normal(size=(len(TIMES), STEPS, WIDTH))
    extended = np.concatenate([phi, np.ones((*phi.shape[:2], 1))], axis=2)
    scores = []
    for _ in range(3000):
        layer = fitted.root @ rng.normal(size=(WIDTH + 1, OUTPUTS))  # W − W_map, columns independent
        velocities = np.zeros((1, 2, 1, len(TIMES), STEPS, OUTPUTS))
        velocities[0, 1, 0] = extended @ layer
        scores.append(vfd(velocities, TIMES, **options))
    error = np.std(scores) / np.sqrt(len(scores))
    assert fitted.score(phi, TIMES, **options) == pytest.approx(np.mean(scores), abs=4 * error)


def test_covariance_is_the_inverse_of_the_hessian() -> None:
    accumulator = MomentAccumulator(WIDTH)
    phi = np.random.default_rng(0).normal(size=(300, WIDTH))
    accumulator.add(phi)
    fitted = LastLayerPosterior.fit(accumulator.moment, chunks=30, outputs=1, residual=0.1, prior=5.0)
    ones = np.concatenate([phi, np.ones((300, 1))], axis=1)
    hessian = 30 / 0.1 * ones.T @ ones / 300 + 5 * np.eye(WIDTH + 1)
    np.testing.assert_allclose(fitted.root @ fitted.root.T, np.linalg.inv(hessian), rtol=1e-9)


@given(st.integers(0, 1000), st.integers(1, 7))
@settings(max_examples=20)
def test_fit_does_not_depend_on_the_batches(seed: int, batch: int) -> None:
    phi = np.random.default_rng(seed).normal(size=(20, WIDTH)).astype(np.float32)
    whole, parts = MomentAccumulator(WIDTH), MomentAccumulator(WIDTH)
    whole.add(phi)
    for i in range(0, 20, batch):
        parts.add(phi[i : i + batch])
    np.testing.assert_allclose(whole.moment, parts.moment, rtol=1e-12)


def test_features_unlike_the_training_ones_score_higher() -> None:
    rng = np.random.default_rng(0)
    accumulator = MomentAccumulator(WIDTH)
    accumulator.add(rng.normal(size=(500, WIDTH)) * [1, 1, 1, 1, 1, 0.01])
    fitted = LastLayerPosterior.fit(accumulator.moment, chunks=500, outputs=1)
    usual = rng.normal(size=(len(TIMES), 1, WIDTH)) * [1, 1, 1, 1, 1, 0.01]
    strange = usual + [0, 0, 0, 0, 0, 1.0]
    assert fitted.score(strange, TIMES) > 10 * fitted.score(usual, TIMES)


def test_more_training_data_mean_less_uncertainty() -> None:
    phi = np.random.default_rng(2).normal(size=(len(TIMES), STEPS, WIDTH))
    scores = [posterior(chunks=n).score(phi, TIMES) for n in (10, 100, 1000)]
    assert scores == sorted(scores, reverse=True)


def test_wrong_sizes_are_named() -> None:
    fitted = posterior()
    with pytest.raises(InputError, match="last_layer"):
        fitted.score(np.zeros((len(TIMES), STEPS, WIDTH + 1)), TIMES)
    with pytest.raises(InputError, match="last_layer"):
        fitted.score(np.zeros((len(TIMES) - 1, STEPS, WIDTH)), TIMES)
    with pytest.raises(InputError, match="prior"):
        LastLayerPosterior.fit(np.eye(3), chunks=1, outputs=1, prior=0.0)
    with pytest.raises(InputError, match="moment"):
        LastLayerPosterior.fit(np.ones((2, 3)), chunks=1, outputs=1)
