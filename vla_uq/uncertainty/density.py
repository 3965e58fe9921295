"""Likelihood and entropy of a flow: how surprising a chunk is to the model that made it, and how spread its chunks.

Both measure the data's own variety (aleatoric) as the model learnt it, not what the model does not know: they are
negative controls. Linear path with t = 0 at noise; p_1 is the distribution of chunks.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError
from vla_uq.flow.sampling import Array, SampleTrace, VelocityField

Floats = NDArray[np.float64]


def negative_log_likelihood(
    velocity: VelocityField, chunks: Array, *, steps: int = 20, last: float = 1.0, probes: int = 3, seed: int = 0
) -> Floats:
    """−ln p_last of each chunk by the change of variables, integrated backwards to noise with Euler steps.

    ln p_last(x) = ln N(x_0) − ∫ div v dt; the divergence is Hutchinson's estimate ε·(v(x + hε) − v(x − hε)) / 2h over
    Rademacher probes, by central differences, so that any field will do.

    Cost: steps (1 + 2 probes) N evaluations.

    :param chunks: (draw, H, A).
    :param last: flow time at which the chunks are taken to lie; below 1 where the data are near-deterministic.
    :returns: (draw,) nats.
    :raises InputError: when ``last`` is outside (0, 1].
    """
    if not 0 < last <= 1:
        raise InputError("must lie inside (0, 1]", where="last", found=last)
    rng = np.random.default_rng(seed)
    x = np.asarray(chunks, np.float64)
    noise = rng.choice([-1.0, 1.0], size=(probes, *x.shape))
    # The field of a well-fitted flow is steep near t = 1: small steps there, from where the path begins.
    near, far = np.linspace(last, 0.93 * last, steps // 2), np.linspace(0.9 * last, 0.0, steps - steps // 2)
    integral = np.zeros(len(x))
    for t, following in itertools.pairwise([*near, *far]):
        dt = t - following
        integral += dt * _divergence(velocity, x, t, noise)
        x = x - dt * velocity(x, np.full(len(x), t))
    flat = x.reshape(len(x), -1)
    log_noise = -0.5 * (flat * flat).sum(axis=1) - 0.5 * flat.shape[1] * math.log(2 * math.pi)
    nll: Floats = integral - log_noise
    return nll


def _divergence(velocity: VelocityField, x: Floats, t: float, probes: Floats, h: float = 1e-3) -> Floats:
    n = len(x)
    moved = np.concatenate([x + h * e for e in probes] + [x - h * e for e in probes])
    v = np.asarray(velocity(moved, np.full(len(moved), t)), np.float64)
    forward, backward = np.split(v, 2)
    products = (forward - backward) / (2 * h) * np.concatenate(list(probes))
    estimate: Floats = products.reshape(len(probes), n, -1).sum(axis=2).mean(axis=0)
    return estimate


def entropy(trace: SampleTrace) -> float:
    """Differential entropy of p_1 (nats) from a recorded path: no further evaluation.

    H = ½ D (1 + ln 2π) + ∫ E[div v] dt, and for a field that is a conditional mean E[div v] = −t/(1−t) (E||v||² −
    E[x·v]/t) by partial integration. Trapezoids between the nodes, from t > 0 up to the last one.

    :param trace: of the sampler (:func:`vla_uq.flow.sampling.euler`).
    """
    kept = trace.times > 0
    t = trace.times[kept]
    dims = math.prod(trace.states.shape[2:])
    x = np.asarray(trace.states[kept], np.float64).reshape(len(t), -1, dims)
    v = np.asarray(trace.velocities[kept], np.float64).reshape(len(t), -1, dims)
    square, product = _mean(v * v), _mean(x * v)
    divergence = -(t / (1 - t)) * (square - product / t)
    # At t = 0 the integrand is E[x·v]/(1 − t) → −D for a centred flow; the first cell takes its right value.
    first, between = divergence[0] * t[0], ((divergence[1:] + divergence[:-1]) / 2) @ np.diff(t)
    last = divergence[-1] * (1 - t[-1])
    return dims * (1 + math.log(2 * math.pi)) / 2 + float(first + between + last)


def _mean(values: NDArray[np.floating[Any]]) -> Floats:
    """Sum over the chunk, mean over draws: (node, draw, D) → (node,)."""
    means: Floats = values.sum(axis=2).mean(axis=1)
    return means
