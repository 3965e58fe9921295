"""Sampling a flow with a record of where it passed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError
from vla_uq.flow.quadrature import cells

Array = NDArray[np.floating[Any]]


class VelocityField(Protocol):
    """A member's velocity with the observation already bound."""

    def __call__(self, x: Array, t: Array, /) -> Array:
        """Velocity at states ``x`` (B, H, A) and times ``t`` (B,), (B, H, A)."""


@dataclass(frozen=True, eq=False)
class SampleTrace:
    """A sampled path and the velocities that were met on it.

    :param times: (K,) nodes.
    :param states: (K, draw, H, A) before the step of each node.
    :param velocities: (K, draw, H, A) of the sampler's own field at those states.
    :param final: (draw, H, A) the sampled chunk, in the policy's normalised space.
    """

    times: NDArray[np.float64]
    states: Array
    velocities: Array
    final: Array


def euler(velocity: VelocityField, noise: Array, times: Array) -> SampleTrace:
    """Euler steps from noise at t = 0 to the action at t = 1, at the precision of ``noise``.

    :param noise: (draw, H, A).
    :param times: (K,) nodes, ascending from 0; the last step goes to 1.
    :raises InputError: when the times do not start at 0 or do not ascend.
    """
    nodes = np.asarray(times, np.float64)
    steps = cells(nodes)
    if nodes[0] != 0:
        raise InputError("sampling starts at noise", where="times", expected=0, found=nodes[0])
    x = np.asarray(noise)
    states, velocities = [], []
    for t, dt in zip(nodes, steps, strict=True):
        v = velocity(x, np.full(len(x), t, x.dtype))
        states.append(x)
        velocities.append(v)
        x = x + x.dtype.type(dt) * v
    return SampleTrace(nodes, np.stack(states), np.stack(velocities), x)
