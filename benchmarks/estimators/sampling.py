"""Paths of all members at many conditions at once, laid out as the estimators expect them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.estimators.ensemble import Ensemble
from vla_uq.flow.quadrature import cells
from vla_uq.flow.sampling import SampleTrace

Array = NDArray[np.float64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Paths:
    """Every member's own paths from its noise at C conditions, with N draws each.

    :param times: (K,) nodes.
    :param states: (K, M, C·N, H·A) before each node's step; ``velocities`` of the member's own field at them.
    :param hidden: (K, M, C·N, width) inputs of the last layer.
    :param final: (M, C, N, H, A) the samples.
    """

    times: Array
    states: Tensor
    velocities: Tensor
    hidden: Tensor
    final: Floats


def noise(ensemble: Ensemble, conditions: int, draws: int, seed: int, *, shared: bool = False) -> Tensor:
    """(M, C, N, H·A); the same for all members when shared."""
    draw = torch.Generator().manual_seed(seed)
    size = ensemble.shape[0] * ensemble.shape[1]
    z = torch.randn((1 if shared else ensemble.members, conditions, draws, size), generator=draw)
    return z.expand(ensemble.members, -1, -1, -1)


@torch.no_grad()
def paths(ensemble: Ensemble, c: Array, z: Tensor, times: Array) -> Paths:
    """Euler steps of every member from ``z`` (M, C, N, H·A) over the nodes; the last step goes to 1."""
    draws = z.shape[2]
    conditions = _conditions(ensemble.members, c, draws)
    x = z.reshape(ensemble.members, -1, z.shape[-1])
    states, velocities, hidden = [], [], []
    for t, dt in zip(times, cells(times), strict=True):
        v, h = ensemble(x, torch.full(x.shape[:2], float(t)), conditions)
        states.append(x)
        velocities.append(v)
        hidden.append(h)
        x = x + float(dt) * v
    final = x.reshape(ensemble.members, len(c), draws, *ensemble.shape).numpy()
    return Paths(times, torch.stack(states), torch.stack(velocities), torch.stack(hidden), final)


@torch.no_grad()
def disagreement(ensemble: Ensemble, c: Array, found: Paths, actors: int) -> Floats:
    """Every member's velocities on the actors' paths, (C, actor, member, draw, node, H, A), without the node t = 0."""
    kept = np.flatnonzero(found.times > 0)
    draws = found.final.shape[2]
    conditions = _conditions(ensemble.members, c, draws)
    out = np.empty((len(c), actors, ensemble.members, draws, len(kept), *ensemble.shape), np.float32)
    for actor in range(actors):
        for place, k in enumerate(kept):
            x = found.states[k, actor].expand(ensemble.members, -1, -1)
            v, _ = ensemble(x, torch.full(x.shape[:2], float(found.times[k])), conditions)
            by_condition = v.reshape(ensemble.members, len(c), draws, *ensemble.shape).numpy()
            out[:, actor, :, :, place] = by_condition.swapaxes(0, 1)
    return out


def last_layers(found: Paths, conditions: int) -> Floats:
    """Member 0's last hidden layer, (C, draw, node, 1, width), without the node t = 0."""
    kept = found.hidden[torch.from_numpy(found.times > 0), 0]
    grouped = kept.reshape(len(kept), conditions, -1, 1, kept.shape[-1]).numpy()
    layers: Floats = grouped.transpose(1, 2, 0, 3, 4)
    return layers


def trace_of(found: Paths, member: int, condition: int) -> SampleTrace:
    """One member's paths at one condition."""
    final = found.final[member, condition]
    part = slice(condition * len(final), (condition + 1) * len(final))
    states, velocities = (
        values[:, member, part].reshape(-1, *final.shape).numpy() for values in (found.states, found.velocities)
    )
    return SampleTrace(found.times, states, velocities, final)


@torch.no_grad()
def velocities_at(ensemble: Ensemble, c: Array, x: Tensor, t: float) -> Floats:
    """All members' velocities at the same states ``x`` (C·N, H·A), (M, C, N, H, A)."""
    draws = len(x) // len(c)
    v, _ = ensemble(
        x.expand(ensemble.members, -1, -1),
        torch.full((ensemble.members, len(x)), t),
        _conditions(ensemble.members, c, draws),
    )
    return v.reshape(ensemble.members, len(c), draws, *ensemble.shape).numpy()


def _conditions(members: int, c: Array, draws: int) -> Tensor:
    return torch.from_numpy(c).float().repeat_interleave(draws, 0).expand(members, -1, -1)
