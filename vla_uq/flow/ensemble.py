"""Ensembles of velocity fields, all evaluated on the path of one of them.

The path is finished when the others look at it, so their evaluations do not wait for each other: all nodes and draws
go through each other member in one batched call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError
from vla_uq.flow.sampling import Array, SampleTrace, VelocityField, euler


@dataclass(frozen=True, eq=False)
class EnsembleTrace:
    """What the trace of an inference carries: every member's field on the actors' paths.

    :param times: (node,) without t = 0, whose weight in a KL divergence is zero.
    :param velocities: (actor, member, draw, node, H, A).
    :param final: (actor, draw, H, A) the chunks that the actors sampled.
    """

    times: NDArray[np.float64]
    velocities: Array
    final: Array


def cross_evaluate(fields: Sequence[VelocityField], trace: SampleTrace, actor: int = 0) -> Array:
    """Every member's velocity at the states of a finished path, (member, draw, node, H, A), node t = 0 left out.

    The actor's own velocities are taken from the trace; each other member is called once.

    :param actor: index in ``fields`` of the member that sampled the path.
    """
    kept = trace.times > 0
    states, own = trace.states[kept], trace.velocities[kept]
    nodes, draws = states.shape[:2]
    batch = states.reshape(nodes * draws, *states.shape[2:])
    times = np.repeat(trace.times[kept], draws).astype(batch.dtype)
    members = [own if i == actor else field(batch, times).reshape(own.shape) for i, field in enumerate(fields)]
    return np.stack(members).swapaxes(1, 2)


def one_way(fields: Sequence[VelocityField], noise: Array, times: Array) -> EnsembleTrace:
    """Member 0 acts from ``noise`` (draw, H, A), the others look at its path.

    :raises InputError: as :func:`vla_uq.flow.sampling.euler`.
    """
    return _traces(fields, [noise], times)


def two_way(fields: Sequence[VelocityField], noise: Array, times: Array) -> EnsembleTrace:
    """Every member acts, from its own noise (member, draw, H, A), and all others look at its path.

    :raises InputError: when there is not one noise a member, or as :func:`vla_uq.flow.sampling.euler`.
    """
    if len(noise) != len(fields):
        raise InputError("one noise a member is needed", where="noise", expected=len(fields), found=len(noise))
    return _traces(fields, list(noise), times)


def _traces(fields: Sequence[VelocityField], noises: Sequence[Array], times: Array) -> EnsembleTrace:
    paths = [euler(fields[i], noise, times) for i, noise in enumerate(noises)]
    velocities = np.stack([cross_evaluate(fields, path, i) for i, path in enumerate(paths)])
    return EnsembleTrace(paths[0].times[paths[0].times > 0], velocities, np.stack([p.final for p in paths]))
