"""Scores of every way to share, on the same recorded steps: member 0 acted, so that its paths are everybody's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.estimators.sampling import Array
from benchmarks.experts.heads import Heads
from vla_uq.errors import InputError
from vla_uq.flow.quadrature import cells
from vla_uq.rollouts.store import Rollout, RolloutMeta, RolloutStore, open_rollout
from vla_uq.uncertainty.last_layer import LastLayerPosterior
from vla_uq.uncertainty.vfd import contributions

Floats = NDArray[np.float32]
TOLERANCE = 1e-3
"""By which the velocities of member 0 may differ from the recorded ones."""


@dataclass(frozen=True, eq=False)
class Steps:
    """An episode's inferences.

    :param context: (T, 173) of member 0's encoder.
    :param states: (T, K, 112) that member 0's path passed, without the node t = 0.
    :param velocities: (T, member, K, 16, 7) of the shipped members there.
    :param layers: (T, K, 1, 160) last hidden layers of member 0.
    :param times: (K,).
    """

    meta: RolloutMeta
    context: Floats
    states: Floats
    velocities: Floats
    layers: Floats
    times: Floats


def steps_of(rollout: Rollout, context: Floats) -> Steps:
    """Rebuild the states of the paths: back from the executed chunk along the recorded velocities."""
    times = rollout.tensor("flow_times")[0]
    velocities = rollout.tensor("velocities")[:, 0, :, 0]
    x, states = rollout.tensor("samples")[:, 0, 0], []
    for k, dt in reversed(list(enumerate(cells(times)))):
        x = x - np.float32(dt) * velocities[:, 0, k]
        states.append(x.reshape(len(x), -1))
    path = np.stack(states[::-1], axis=1)
    return Steps(rollout.meta, context, path, velocities, rollout.tensor("last_layer"), times)


def read(store: Path, contexts: Path, episodes: Sequence[str]) -> Iterator[Steps]:
    """Episodes of a store, with the contexts that were made of them."""
    recorded, replayed = RolloutStore(store), RolloutStore(contexts)
    for name in episodes:
        context = open_rollout(replayed.path(name)).tensor("context")
        yield steps_of(open_rollout(recorded.path(name)), context)


def own_encoders(steps: Steps) -> Array:
    """VFD of member 0 with each other shipped member, (T, members − 1)."""
    return _pairs(steps, steps.velocities[:, 1:])


def shared_encoder(steps: Steps, heads: Heads) -> Array:
    """VFD of member 0 with each of some heads that see member 0's context, (T, heads)."""
    return _pairs(steps, _fields(steps, heads))


def last_layer(steps: Steps, posterior: LastLayerPosterior) -> Array:
    """Last-layer VFD of member 0, (T, 1)."""
    return np.array([[posterior.score(layers, steps.times)] for layers in steps.layers])


def check(steps: Steps, first: Heads) -> None:
    """:raises InputError: when member 0 does not answer what it answered: states or contexts are not what they were."""
    gap = float(np.abs(_fields(steps, first)[:, 0] - steps.velocities[:, 0]).max())
    if not gap < TOLERANCE:
        raise InputError(
            "recorded velocities cannot be had again", where=steps.meta.episode_id, expected=TOLERANCE, found=gap
        )


@torch.no_grad()
def _fields(steps: Steps, heads: Heads) -> Floats:
    """(T, heads, K, 16, 7)."""
    count, nodes, size = steps.states.shape
    x = torch.from_numpy(steps.states.reshape(-1, size)).expand(heads.members, -1, -1)
    t = torch.from_numpy(np.tile(steps.times, count)).expand(heads.members, -1)
    c = torch.from_numpy(np.repeat(steps.context, nodes, axis=0)).expand(heads.members, -1, -1)
    velocity, _ = heads(x, t, c)
    return velocity.reshape(heads.members, count, nodes, *heads.shape).transpose(0, 1).numpy()


def _pairs(steps: Steps, others: Floats) -> Array:
    """VFD of member 0 with each other field; that of the whole ensemble is their mean."""
    own = steps.velocities[:, 0]
    pairs = [np.stack([own, others[:, j]], axis=1)[:, None, :, None] for j in range(others.shape[1])]
    return np.stack([contributions(pair, steps.times).sum(axis=(-2, -1)) for pair in pairs], axis=1)
