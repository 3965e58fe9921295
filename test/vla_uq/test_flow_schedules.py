"""Schedules: the weight of the divergence integral and the conversions to velocities."""

from __future__ import annotations

import numpy as np
import pytest

from vla_uq.flow.schedules import OT, VP, Schedule

SCHEDULES = [OT(), OT(sigma_min=0.05), VP()]
TIMES = np.linspace(0.05, 0.95, 19)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_weight_is_the_general_formula(schedule: Schedule) -> None:
    alpha, sigma, d_alpha, d_sigma = schedule.coefficients(TIMES)
    expected = alpha / (sigma * (sigma * d_alpha - alpha * d_sigma))
    np.testing.assert_allclose(schedule.weight(TIMES), expected, rtol=1e-10)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_derivatives(schedule: Schedule) -> None:
    ahead, behind, here = (schedule.coefficients(TIMES + h) for h in (1e-6, -1e-6, 0.0))
    np.testing.assert_allclose((ahead.alpha - behind.alpha) / 2e-6, here.d_alpha, rtol=1e-5)
    np.testing.assert_allclose((ahead.sigma - behind.sigma) / 2e-6, here.d_sigma, rtol=1e-5)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_clean_and_noise_predictions_give_the_same_velocity(schedule: Schedule) -> None:
    rng = np.random.default_rng(0)
    clean, noise = rng.normal(size=(2, len(TIMES)))
    c = schedule.coefficients(TIMES)
    x = c.alpha * clean + c.sigma * noise
    velocity = c.d_alpha * clean + c.d_sigma * noise
    np.testing.assert_allclose(schedule.velocity_from_clean(clean, x, TIMES), velocity, rtol=1e-9)
    np.testing.assert_allclose(schedule.velocity_from_noise(noise, x, TIMES), velocity, rtol=1e-9)
    np.testing.assert_allclose(schedule.score(velocity, x, TIMES), -noise / c.sigma, rtol=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_gain_is_how_a_gap_of_clean_predictions_grows(schedule: Schedule) -> None:
    clean, other, x = np.random.default_rng(2).normal(size=(3, len(TIMES)))
    gap = schedule.velocity_from_clean(clean, x, TIMES) - schedule.velocity_from_clean(other, x, TIMES)
    np.testing.assert_allclose(gap, schedule.clean_gain(TIMES) * (clean - other), rtol=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_weight_turns_velocity_gaps_into_score_gaps(schedule: Schedule) -> None:
    rng = np.random.default_rng(1)
    x, v, other = rng.normal(size=(3, len(TIMES)))
    gap = schedule.score(v, x, TIMES) - schedule.score(other, x, TIMES)
    np.testing.assert_allclose(gap, schedule.weight(TIMES) * (v - other), rtol=1e-8)


def test_closed_forms() -> None:
    assert OT().weight(np.array([0.0, 0.5, 0.95])) == pytest.approx([0, 1, 19])
    assert OT(sigma_min=0.1).weight(np.array([1.0])) == pytest.approx([10])
    assert VP(beta_min=0.1, beta_max=20).weight(np.array([1.0])) == pytest.approx([20])
    # A clean-action policy under the linear path: v = (a - x) / (1 - t).
    assert OT().velocity_from_clean(np.array(3.0), np.array(1.0), np.array(0.75)) == pytest.approx(8)
