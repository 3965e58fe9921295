"""How wrong a member really is at each condition: its divergence from the truth, computed and not estimated."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from benchmarks.toy2d import problem
from benchmarks.toy2d.nets import Stack
from benchmarks.toy2d.problem import Array

SMOOTHED = 0.95
"""Flow time at which the divergence is taken a second time: actions blurred by noise of .05 / .95."""


@dataclass(frozen=True)
class Truth:
    """Of one member, (C,) each: KL(p_θ ‖ p*), the same at t = .95, and the 2-Wasserstein distance of samples."""

    kl: Array
    kl95: Array
    w2: Array


@torch.no_grad()
def truth_of(member: Stack, c: Array, seed: int, *, draws: int = 64, steps: int = 20) -> Truth:
    """Sample a member with Runge-Kutta steps, carrying ln p along (exact divergence), and compare with the truth.

    :param member: a stack of one.
    :param c: (C, 2).
    """
    draw = torch.Generator().manual_seed(seed)
    noise = torch.randn((1, len(c) * draws, 2), generator=draw)
    conditions = torch.from_numpy(c).float().repeat_interleave(draws, 0)[None]
    state, log_p = noise, -noise.square().sum(-1) / 2 - math.log(2 * math.pi)
    divergences = {}
    # One node more than the plain grid, so that t = .95 is met on the way.
    nodes = np.union1d(np.linspace(0, 1, steps + 1), [SMOOTHED])
    for start, end in itertools.pairwise(nodes):
        state, log_p = _step(member, state, log_p, conditions, float(start), float(end - start))
        if end in (SMOOTHED, 1.0):
            a = state[0].double().numpy().reshape(len(c), draws, 2)
            own = log_p[0].double().numpy().reshape(len(c), draws)
            divergences[end] = (own - problem.log_density(a, c, float(end))).mean(1)
    rng = np.random.default_rng(seed)
    return Truth(divergences[1.0], divergences[SMOOTHED], _wasserstein(a, problem.sample_actions(c, draws, rng)))


def _step(member: Stack, x: Tensor, log_p: Tensor, c: Tensor, t: float, dt: float) -> tuple[Tensor, Tensor]:
    """One classical Runge-Kutta step of position and log density."""

    def slope(at: Tensor, time: float) -> tuple[Tensor, Tensor]:
        times = torch.full(at.shape[:2], time)
        divergence = torch.zeros(at.shape[:2])
        for axis in range(2):
            tangent = torch.zeros_like(at)
            tangent[..., axis] = 1
            found: tuple[Tensor, ...] = torch.func.jvp(lambda y: member(y, times, c)[0], (at,), (tangent,))
            velocity, divergence = found[0], divergence + found[1][..., axis]
        return velocity, -divergence

    k1 = slope(x, t)
    k2 = slope(x + dt / 2 * k1[0], t + dt / 2)
    k3 = slope(x + dt / 2 * k2[0], t + dt / 2)
    k4 = slope(x + dt * k3[0], t + dt)
    moved, gained = (dt / 6 * (p + 2 * q + 2 * r + s) for p, q, r, s in zip(k1, k2, k3, k4, strict=True))
    return x + moved, log_p + gained


def _wasserstein(a: Array, b: Array) -> Array:
    """2-Wasserstein distance of two samples of equal size at each condition, by optimal assignment."""
    costs = ((a[:, :, None] - b[:, None]) ** 2).sum(-1)
    distances = np.empty(len(a))
    for i, cost in enumerate(costs):
        rows, columns = linear_sum_assignment(cost)
        distances[i] = math.sqrt(cost[rows, columns].mean())
    return distances
