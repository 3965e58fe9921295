"""VFD against the exact divergence of Gaussian chunks: on really sampled paths, cut at any T, under any schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_uq.flow.ensemble import EnsembleTrace, one_way, two_way
from vla_uq.flow.quadrature import grid, log, reference
from vla_uq.flow.sampling import Array
from vla_uq.flow.schedules import OT, VP, Schedule
from vla_uq.uncertainty.vfd import contributions, vfd

Floats = NDArray[np.float64]
H, A = 2, 3
LINEAR = OT()
SCHEDULES = [LINEAR, OT(sigma_min=0.1), VP()]
SEEDS = pytest.mark.parametrize("seed", range(4))


@dataclass(frozen=True)
class Gaussian:
    """A policy whose chunks are N(mean, deviation^2), each element by itself; ``mean`` and ``deviation`` (H, A)."""

    mean: Floats
    deviation: Floats
    schedule: Schedule = LINEAR

    def noised(self, t: Floats) -> tuple[Floats, Floats]:
        """Mean and variance of x_t; ``t`` broadcasts against (H, A)."""
        c = self.schedule.coefficients(t)
        return c.alpha * self.mean, c.alpha**2 * self.deviation**2 + c.sigma**2

    def clean(self, x: Array, t: Array) -> Array:
        """E[a | x] at states (B, H, A) and times (B,)."""
        t = t[:, None, None]
        centre, variance = self.noised(t)
        found = self.mean + self.schedule.coefficients(t).alpha * self.deviation**2 / variance * (x - centre)
        return found.astype(x.dtype)

    def __call__(self, x: Array, t: Array, /) -> Array:
        return self.schedule.velocity_from_clean(self.clean(x, t), x, t[:, None, None]).astype(x.dtype)

    def kl(self, other: Gaussian, at: float = 1.0) -> float:
        """KL between the chunks, or between their noised versions at time ``at``."""
        (m, v), (n, w) = self.noised(np.array(at)), other.noised(np.array(at))
        return float((np.log(w / v) + (v + (m - n) ** 2) / w - 1).sum() / 2)


def pair(seed: int, schedule: Schedule = LINEAR) -> tuple[Gaussian, Gaussian]:
    rng = np.random.default_rng(seed)
    i, j = (Gaussian(rng.normal(0, 0.5, (H, A)), rng.uniform(0.3, 1.0, (H, A)), schedule) for _ in "ij")
    return i, j


def on_exact_path(i: Gaussian, j: Gaussian, times: Floats, *, clean: bool = False, **options: Any) -> float:
    """One-way VFD with the flow of member i solved exactly, its noise at ± one deviation: enough for its square."""
    t = times[:, None, None, None]
    centre, variance = i.noised(t)
    states = centre + np.sqrt(variance) * np.array([-1.0, 1.0])[:, None, None]
    batch, repeated = states.reshape(-1, H, A), np.repeat(times, 2)
    fields = [(member.clean if clean else member)(batch, repeated).reshape(states.shape) for member in (i, j)]
    return vfd(np.stack(fields).swapaxes(1, 2)[None], times, quadrature="log", **options)


def by_draw(trace: EnsembleTrace, **options: Any) -> Floats:
    """VFD of each draw alone, (draw,)."""
    alone = np.moveaxis(trace.velocities, 2, 0)[:, :, :, None]
    return contributions(alone, trace.times, **options).sum(axis=(-2, -1))


@SEEDS
def test_sampled_paths_give_the_divergence(seed: int) -> None:
    """Within 4 standard errors of 3000 draws, and 2 % for the Euler steps and the nodes."""
    i, j = pair(seed)
    noise = np.random.default_rng(seed).normal(size=(3000, H, A))
    draws = by_draw(one_way([i, j], noise, log(150, last=0.999)), quadrature="log")
    error = draws.std(ddof=1) / np.sqrt(len(draws))
    assert error < 0.02 * i.kl(j)
    assert draws.mean() == pytest.approx(i.kl(j, at=0.999), abs=4 * error + 0.02 * i.kl(j))


@SEEDS
def test_two_way_is_the_mean_of_both_divergences(seed: int) -> None:
    i, j = pair(seed)
    noise = np.random.default_rng(seed).normal(size=(2, 3000, H, A))
    draws = by_draw(two_way([i, j], noise, log(150, last=0.999)), quadrature="log")
    expected = (i.kl(j, at=0.999) + j.kl(i, at=0.999)) / 2
    error = draws.std(ddof=1) / np.sqrt(len(draws))
    assert draws.mean() == pytest.approx(expected, abs=4 * error + 0.02 * expected)


EULER = [((0.0, 0.5), (0.3, 0.8), 0.206), ((0.0, 0.8), (0.3, 0.5), 0.417), ((0.0, 0.2), (0.1, 0.3), 0.145)]


@pytest.mark.parametrize(("actor", "other", "published"), EULER)
def test_reference_grid_on_unequal_gaussians(
    actor: tuple[float, float], other: tuple[float, float], published: float
) -> None:
    """Euler on a Gaussian's field is affine, so the expectation over the noise follows from its ends alone."""
    (m, s), (n, r) = actor, other
    i, j = (Gaussian(np.full((1, 1), a), np.full((1, 1), b)) for a, b in ((m, s), (n, r)))
    trace = one_way([i, j], np.array([-1.0, 1.0]).reshape(2, 1, 1), reference())
    expected = vfd(trace.velocities, trace.times)
    assert expected == pytest.approx(published, abs=0.004)
    for seed in range(3):
        draws = by_draw(one_way([i, j], np.random.default_rng(seed).normal(size=(5000, 1, 1)), reference()))
        assert draws.mean() == pytest.approx(expected, abs=4 * draws.std(ddof=1) / np.sqrt(5000))


def test_log_rule_beats_the_reference_with_as_many_nodes() -> None:
    i, j = (Gaussian(np.array([[mean]]), np.array([[0.05]])) for mean in (0.0, 1.0))
    one = one_way([i, j], np.zeros((1, 1, 1)), log(len(reference())))
    assert i.kl(j, at=0.95) == pytest.approx(94.875, abs=5e-3)
    assert vfd(one.velocities, one.times, quadrature="log") == pytest.approx(94.91, abs=5e-3)
    other = one_way([i, j], np.zeros((1, 1, 1)), reference())
    assert vfd(other.velocities, other.times) == pytest.approx(149.53, abs=5e-3)


@given(st.floats(0.2, 0.98), st.floats(0.05, 2.0), st.floats(-3, 3))
@settings(max_examples=40, deadline=None)
def test_cut_at_t_it_is_the_divergence_of_blurred_chunks(last: float, deviation: float, gap: float) -> None:
    """Equal deviations: T² δ² / 2D(T) with D(T) = (1 − T)² + T² s², whatever the noise."""
    i, j = (Gaussian(np.full((H, A), mean), np.full((H, A), deviation)) for mean in (0.0, gap))
    exact = H * A * last**2 * gap**2 / (2 * ((1 - last) ** 2 + last**2 * deviation**2))
    assert i.kl(j, at=last) == pytest.approx(exact)
    assert on_exact_path(i, j, log(600, last=last)) == pytest.approx(exact, rel=1e-3, abs=1e-12)
    # Blurring never makes two distributions easier to tell apart.
    assert exact <= i.kl(j) * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
@pytest.mark.parametrize("last", [0.5, 0.9, 0.99])
@SEEDS
def test_any_schedule_gives_the_divergence(schedule: Schedule, last: float, seed: int) -> None:
    """Both begin at noise; under VP a hair of the action is left in it, and its divergence is not met on the way."""
    i, j = pair(seed, schedule)
    expected = i.kl(j, at=last) - i.kl(j, at=0.0)
    times = log(1000, last=last)
    assert on_exact_path(i, j, times, schedule=schedule) == pytest.approx(expected, rel=2e-3)
    cleaned = on_exact_path(i, j, times, schedule=schedule, prediction="clean", clean=True)
    assert cleaned == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("weight", ["kl", "uniform"])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_clean_predictions_weigh_as_the_velocities_that_they_make(schedule: Schedule, weight: str) -> None:
    i, j = pair(0, schedule)
    times = grid(10)[1:]
    clean = on_exact_path(i, j, times, clean=True, schedule=schedule, prediction="clean", weight=weight)
    assert clean == pytest.approx(on_exact_path(i, j, times, schedule=schedule, weight=weight), rel=1e-9)


def test_a_small_gap_of_single_precision_clean_predictions_survives() -> None:
    """As velocities the two would be twenty times as large before they are subtracted."""
    times = reference()[1:]
    clean = np.full((1, 2, 1, len(times), 1, 1), 1000.0, np.float32)
    clean[:, 1] += np.float32(2**-10)
    weights = times / (1 - times) ** 3 * np.append(np.diff(times), 0.05)
    assert vfd(clean, times, prediction="clean") == pytest.approx(2**-20 * weights.sum())


def test_sampling_in_single_precision_changes_little() -> None:
    i, j = pair(5)
    noise = np.random.default_rng(5).normal(size=(200, H, A))
    double, single = (one_way([i, j], noise.astype(kind), reference()) for kind in (np.float64, np.float32))
    assert single.velocities.dtype == np.float32
    assert vfd(single.velocities, single.times) == pytest.approx(vfd(double.velocities, double.times), rel=1e-4)
