"""Noise schedules x_t = alpha(t) a + sigma(t) z with t = 0 at noise, and what follows from them.

The weight w(t) = alpha / (sigma (sigma alpha' - alpha sigma')) turns a difference of velocities into a difference of
scores, and the integral of w E||v_i - v_j||^2 over t is KL(p_i || p_j).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


class Coefficients(NamedTuple):
    """alpha, sigma and their time derivatives."""

    alpha: Floats
    sigma: Floats
    d_alpha: Floats
    d_sigma: Floats


class Schedule(ABC):
    """A path from noise to action. Times are arrays that broadcast against the states."""

    @abstractmethod
    def coefficients(self, t: Floats) -> Coefficients:
        """alpha, sigma and their derivatives at ``t``."""

    @abstractmethod
    def weight(self, t: Floats) -> Floats:
        """w(t) of the divergence integral, in closed form."""

    def clean_gain(self, t: Floats) -> Floats:
        """By how much a gap between clean predictions grows when they become velocities: dv/d(clean) at ``t``."""
        c = self.coefficients(t)
        return c.d_alpha - c.d_sigma * c.alpha / c.sigma

    def velocity_from_clean(self, clean: Floats, x: Floats, t: Floats) -> Floats:
        """Velocity of a policy that predicts the clean action E[a | x]; errors grow by 1 / sigma, so use fp32."""
        c = self.coefficients(t)
        return c.d_alpha * clean + c.d_sigma * (x - c.alpha * clean) / c.sigma

    def velocity_from_noise(self, noise: Floats, x: Floats, t: Floats) -> Floats:
        """Velocity of a policy that predicts the noise E[z | x]; undefined where alpha = 0."""
        c = self.coefficients(t)
        return c.d_alpha * (x - c.sigma * noise) / c.alpha + c.d_sigma * noise

    def score(self, velocity: Floats, x: Floats, t: Floats) -> Floats:
        """The gradient of log p_t(x) that belongs to a velocity; undefined where sigma = 0."""
        c = self.coefficients(t)
        noise = (c.d_alpha * x - c.alpha * velocity) / (c.sigma * c.d_alpha - c.alpha * c.d_sigma)
        return -noise / c.sigma


@dataclass(frozen=True)
class OT(Schedule):
    """Linear path x_t = (1 - (1 - sigma_min) t) z + t a; w = t / sigma_t.

    :param sigma_min: noise left at t = 1; with the usual 0 the weight diverges there.
    """

    sigma_min: float = 0.0

    def coefficients(self, t: Floats) -> Coefficients:
        t = np.asarray(t, np.float64)
        shrink = 1 - self.sigma_min
        return Coefficients(t, 1 - shrink * t, np.ones_like(t), np.full_like(t, -shrink))

    def weight(self, t: Floats) -> Floats:
        c = self.coefficients(t)
        return c.alpha / c.sigma


@dataclass(frozen=True)
class VP(Schedule):
    """Variance-preserving path with linear beta(s) of diffusion time s = 1 - t; w = 2 / beta(1 - t)."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    def _beta(self, s: Floats) -> Floats:
        return self.beta_min + (self.beta_max - self.beta_min) * s

    def coefficients(self, t: Floats) -> Coefficients:
        s = 1 - np.asarray(t, np.float64)
        integral = self.beta_min * s + (self.beta_max - self.beta_min) * s**2 / 2
        alpha = np.exp(-integral / 2)
        sigma = np.sqrt(-np.expm1(-integral))
        d_alpha = self._beta(s) * alpha / 2
        return Coefficients(alpha, sigma, d_alpha, -alpha * d_alpha / sigma)

    def weight(self, t: Floats) -> Floats:
        return 2 / self._beta(1 - np.asarray(t, np.float64))
