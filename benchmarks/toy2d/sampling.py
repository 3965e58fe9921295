"""Paths of the toy's members at many conditions at once, laid out as the estimators expect them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.toy2d.nets import WIDTH, Stack
from benchmarks.toy2d.problem import Array
from vla_uq.flow.quadrature import cells
from vla_uq.flow.sampling import SampleTrace

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Paths:
    """Every member's own paths from its noise at C conditions, with N draws each.

    :param times: (K,) nodes.
    :param states: (K, M, C·N, 2) before each node's step; ``velocities`` of the member's own field at them.
    :param hidden: (K, M, C·N, 128) inputs of the last layer.
    :param final: (M, C, N, 2) the samples.
    """

    times: Array
    states: Tensor
    velocities: Tensor
    hidden: Tensor
    final: Floats


def noise(members: int, conditions: int, draws: int, seed: int, *, shared: bool = False) -> Tensor:
    """(M, C, N, 2); the same for all members when shared."""
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn((1 if shared else members, conditions, draws, 2), generator=draw)
    return z.expand(members, -1, -1, -1)


@torch.no_grad()
def paths(stack: Stack, c: Array, z: Tensor, times: Array) -> Paths:
    """Euler steps of every member from ``z`` (M, C, N, 2) over the nodes; the last step goes to 1."""
    draws = z.shape[2]
    conditions = _conditions(stack.members, c, draws)
    x = z.reshape(stack.members, -1, 2)
    states, velocities, hidden = [], [], []
    for t, dt in zip(times, cells(times), strict=True):
        v, h = stack(x, torch.full(x.shape[:2], float(t)), conditions)
        states.append(x)
        velocities.append(v)
        hidden.append(h)
        x = x + float(dt) * v
    final = x.reshape(stack.members, len(c), draws, 2).numpy()
    return Paths(times, torch.stack(states), torch.stack(velocities), torch.stack(hidden), final)


@torch.no_grad()
def disagreement(stack: Stack, c: Array, found: Paths, actors: int) -> Floats:
    """Every member's velocities on the actors' paths, (C, actor, member, draw, node, 1, 2), without the node t = 0."""
    kept = np.flatnonzero(found.times > 0)
    draws = found.final.shape[2]
    conditions = _conditions(stack.members, c, draws)
    out = np.empty((len(c), actors, stack.members, draws, len(kept), 1, 2), np.float32)
    for actor in range(actors):
        for place, k in enumerate(kept):
            x = found.states[k, actor].expand(stack.members, -1, -1)
            v, _ = stack(x, torch.full(x.shape[:2], float(found.times[k])), conditions)
            by_condition = v.reshape(stack.members, len(c), draws, 2).numpy().transpose(1, 0, 2, 3)
            out[:, actor, :, :, place, 0] = by_condition
    return out


def last_layers(found: Paths, conditions: int) -> Floats:
    """Member 0's last hidden layer, (C, draw, node, 1, 128), without the node t = 0."""
    kept = found.hidden[torch.from_numpy(found.times > 0), 0]
    grouped = kept.reshape(len(kept), conditions, -1, 1, WIDTH).numpy()
    layers: Floats = grouped.transpose(1, 2, 0, 3, 4)
    return layers


def trace_of(found: Paths, member: int, condition: int) -> SampleTrace:
    """One member's paths at one condition."""
    draws = found.final.shape[2]
    part = slice(condition * draws, (condition + 1) * draws)
    states, velocities = (values[:, member, part, None].numpy() for values in (found.states, found.velocities))
    return SampleTrace(found.times, states, velocities, found.final[member, condition][:, None])


@torch.no_grad()
def velocities_at(stack: Stack, c: Array, x: Tensor, t: float) -> Floats:
    """All members' velocities at the same states ``x`` (C·N, 2), (M, C, N, 2)."""
    draws = len(x) // len(c)
    v, _ = stack(
        x.expand(stack.members, -1, -1),
        torch.full((stack.members, len(x)), t),
        _conditions(stack.members, c, draws),
    )
    return v.reshape(stack.members, len(c), draws, 2).numpy()


def _conditions(members: int, c: Array, draws: int) -> Tensor:
    return torch.from_numpy(c).float().repeat_interleave(draws, 0).expand(members, -1, -1)
