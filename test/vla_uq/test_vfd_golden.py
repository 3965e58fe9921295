"""VFD against the exact divergence of Gaussians, whose velocity field is known in closed form."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_uq.flow.ensemble import one_way
from vla_uq.flow.quadrature import log, reference
from vla_uq.flow.sampling import Array
from vla_uq.uncertainty.vfd import vfd

Floats = NDArray[np.float64]


class Gaussian:
    """Velocity field of actions N(mean, deviation^2) per element, under the linear path."""

    def __init__(self, mean: float, deviation: float) -> None:
        self.mean, self.deviation = mean, deviation

    def variance(self, t: Array) -> Array:
        return (1 - t) ** 2 + t**2 * self.deviation**2

    def __call__(self, x: Array, t: Array, /) -> Array:
        t = t.reshape(-1, 1, 1)
        expected = self.mean + t * self.deviation**2 / self.variance(t) * (x - t * self.mean)
        return (expected - x) / (1 - t)

    def path(self, times: Floats, noise: Floats) -> Floats:
        """Exact flow of noise (n,), (node, n)."""
        return times[:, None] * self.mean + np.sqrt(self.variance(times))[:, None] * noise

    def kl(self, other: Gaussian) -> float:
        ratio, gap = self.deviation / other.deviation, (self.mean - other.mean) / other.deviation
        return -math.log(ratio) + (ratio**2 + gap**2 - 1) / 2


def on_exact_path(actor: Gaussian, other: Gaussian, times: Floats, quadrature: str, draws: int) -> float:
    """One-way VFD with the flow solved exactly and the noise at normal quantiles, so that only quadrature is left."""
    noise = np.array([NormalDist().inv_cdf((i + 0.5) / draws) for i in range(draws)])
    states = actor.path(times, noise).reshape(-1, 1, 1)
    t = np.repeat(times, draws)
    fields = np.stack([member(states, t).reshape(len(times), draws) for member in (actor, other)])
    return vfd(fields.swapaxes(1, 2)[None, ..., None, None], times, quadrature=quadrature)


GOLDEN = [
    (1.0, 0.5, 0.4986, 0.4945),
    (0.5, 2.0, 1.9781, 1.9318),
    (0.2, 12.5, 11.690, 11.040),
    (0.05, 200, 94.875, 149.53),
]


@pytest.mark.parametrize(("deviation", "kl", "kl_95", "on_reference"), GOLDEN)
def test_equal_variance(deviation: float, kl: float, kl_95: float, on_reference: float) -> None:
    actor, other = Gaussian(0.0, deviation), Gaussian(1.0, deviation)
    assert actor.kl(other) == pytest.approx(kl, rel=1e-9)
    # The gap of the fields does not depend on the state, so any noise and any sampler gives the same number.
    trace = one_way([actor, other], np.random.default_rng(0).normal(size=(3, 1, 1)), reference())
    assert vfd(trace.velocities, trace.times) == pytest.approx(on_reference, rel=1.1e-4)
    assert 0.95**2 / (2 * actor.variance(np.array(0.95))) == pytest.approx(kl_95, rel=1e-4)
    assert on_exact_path(actor, other, log(2000), "log", 1) == pytest.approx(kl_95, rel=1e-4)


def test_log_rule_with_few_nodes() -> None:
    value = on_exact_path(Gaussian(0, 0.05), Gaussian(1, 0.05), log(64), "log", 1)
    assert value == pytest.approx(94.88, rel=2e-3)


UNEQUAL = [
    ((0.0, 0.5), (0.3, 0.8), 0.2356, 0.206),
    ((0.0, 0.8), (0.3, 0.5), 0.490, 0.417),
    ((0.0, 0.2), (0.1, 0.3), 0.1832, 0.145),
]


@pytest.mark.parametrize(("actor", "other", "kl", "on_reference"), UNEQUAL)
def test_unequal_variance(
    actor: tuple[float, float], other: tuple[float, float], kl: float, on_reference: float
) -> None:
    i, j = Gaussian(*actor), Gaussian(*other)
    assert i.kl(j) == pytest.approx(kl, abs=5e-4)
    trace = one_way([i, j], np.random.default_rng(1).normal(size=(20_000, 1, 1)), reference())
    assert vfd(trace.velocities, trace.times) == pytest.approx(on_reference, abs=0.012)
    assert on_exact_path(i, j, log(500, last=0.9995), "log", 400) == pytest.approx(kl, rel=0.01)


@given(
    st.tuples(st.floats(-1, 1), st.floats(0.3, 1.5)),
    st.tuples(st.floats(-1, 1), st.floats(0.3, 1.5)),
)
@settings(max_examples=25, deadline=None)
def test_equals_the_exact_divergence(actor: tuple[float, float], other: tuple[float, float]) -> None:
    i, j = Gaussian(*actor), Gaussian(*other)
    assert on_exact_path(i, j, log(300, last=0.9998), "log", 300) == pytest.approx(i.kl(j), rel=0.02, abs=2e-3)
