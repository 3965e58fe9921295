"""Sampling with a record, and the batched evaluation of the other members."""

from __future__ import annotations

import numpy as np
import pytest

from vla_uq.errors import InputError
from vla_uq.flow.ensemble import cross_evaluate, one_way, two_way
from vla_uq.flow.quadrature import grid
from vla_uq.flow.sampling import Array, euler

SHAPE = (4, 3)


class Linear:
    """v = (a - x) c + t, counting its calls."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.target, self.slope, self.calls = rng.normal(size=SHAPE), rng.uniform(0.2, 1), 0

    def __call__(self, x: Array, t: Array, /) -> Array:
        assert t.shape == (len(x),)
        self.calls += 1
        return (self.target - x) * self.slope + t[:, None, None]


@pytest.fixture
def noise() -> Array:
    return np.random.default_rng(7).normal(size=(5, *SHAPE))


def test_euler_records_what_it_did(noise: Array) -> None:
    field = Linear(0)
    trace = euler(field, noise, grid(10))
    assert trace.states.shape == trace.velocities.shape == (10, 5, *SHAPE)
    np.testing.assert_array_equal(trace.states[0], noise)
    for k in range(9):
        np.testing.assert_allclose(trace.states[k + 1], trace.states[k] + 0.1 * trace.velocities[k], atol=1e-12)
    np.testing.assert_allclose(trace.final, trace.states[9] + 0.1 * trace.velocities[9], atol=1e-12)
    assert field.calls == 10


def test_euler_is_exact_on_a_straight_path(noise: Array) -> None:
    trace = euler(lambda x, t: np.ones_like(x), noise, np.array([0, 0.3, 0.95]))
    np.testing.assert_allclose(trace.final, noise + 1)


def test_euler_keeps_single_precision(noise: Array) -> None:
    trace = euler(lambda x, t: x * t[:, None, None], noise.astype(np.float32), grid(4))
    assert trace.final.dtype == trace.states.dtype == trace.velocities.dtype == np.float32


def test_batched_equals_sequential_in_one_call(noise: Array) -> None:
    fields = [Linear(i) for i in range(3)]
    trace = euler(fields[0], noise, grid(10))
    calls = [field.calls for field in fields]
    velocities = cross_evaluate(fields, trace)
    assert [field.calls for field in fields] == [calls[0], calls[1] + 1, calls[2] + 1]
    assert velocities.shape == (3, 5, 9, *SHAPE)
    for m, field in enumerate(fields):
        for k, t in enumerate(trace.times[1:]):
            for n in range(5):
                one = field(trace.states[k + 1, n : n + 1], np.array([t]))[0]
                np.testing.assert_allclose(velocities[m, n, k], one, atol=1e-12)


def test_one_way_and_two_way(noise: Array) -> None:
    fields = [Linear(i) for i in range(3)]
    single = one_way(fields, noise, grid(10))
    assert single.velocities.shape == (1, 3, 5, 9, *SHAPE)
    assert single.times == pytest.approx(np.arange(1, 10) / 10)
    both = two_way(fields, np.stack([noise, noise + 1, noise - 1]), grid(10))
    assert both.velocities.shape == (3, 3, 5, 9, *SHAPE)
    np.testing.assert_allclose(both.velocities[:1], single.velocities)
    np.testing.assert_allclose(both.final[0], single.final[0])
    assert not np.allclose(both.final[0], both.final[1])


def test_refuses_wrong_noise_and_times(noise: Array) -> None:
    with pytest.raises(InputError, match="noise"):
        two_way([Linear(0), Linear(1)], noise[None], grid(10))
    with pytest.raises(InputError, match="times"):
        euler(Linear(0), noise, grid(10)[1:])
