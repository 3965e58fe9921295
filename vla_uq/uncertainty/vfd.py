"""Velocity-field disagreement (VFD): how far an ensemble's flows part on the path that the policy took.

VFD of member j on member i's path is the sum over nodes of W_k ||v_i(x_k) - v_j(x_k)||^2, both fields at the same
states x_k of i's own sample. With W_k = w(t_k) dt_k it is a quadrature of KL(p_i || p_j) between the members'
distributions of action chunks (arXiv 2606.18043); it is a sum over the chunk's elements in the normalised action
space, so it grows with the size of the chunk, and it does not saturate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError
from vla_uq.flow.quadrature import weights
from vla_uq.flow.schedules import Schedule

Floats = NDArray[np.float64]
Field = NDArray[np.floating[Any]]


def vfd(
    velocities: Field,
    flow_times: Field,
    *,
    weight: str = "kl",
    quadrature: str = "left",
    schedule: Schedule | None = None,
    prediction: str = "velocity",
    steps: int | None = None,
    dims: int | None = None,
) -> float:
    """VFD of one inference: the sum of its :func:`contributions`, which see."""
    parts = contributions(
        velocities,
        flow_times,
        weight=weight,
        quadrature=quadrature,
        schedule=schedule,
        prediction=prediction,
        steps=steps,
        dims=dims,
    )
    return float(parts.sum())


def contributions(
    velocities: Field,
    flow_times: Field,
    *,
    weight: str = "kl",
    quadrature: str = "left",
    schedule: Schedule | None = None,
    prediction: str = "velocity",
    steps: int | None = None,
    dims: int | None = None,
) -> Floats:
    """What each action step and each dimension adds to the VFD, (..., H, A); sum over an axis for either alone.

    :param velocities: (..., actor, member, draw, node, H, A): field of every member on the paths of the actors, which
        are the first members. One actor makes the one-way VFD (mean over the other members); as many actors as members
        the two-way one (mean over ordered pairs, hence symmetric). The mean over draws is taken in both.
    :param flow_times: (node,) ascending in [0, 1), t = 0 at noise; the same for all inferences.
    :param weight: ``kl`` or ``uniform``; the node t = 0 has weight zero under ``kl`` and may be left out.
    :param quadrature: ``left`` or ``log``.
    :param schedule: the path from noise to action that the policy was trained on; the plain linear one by default.
    :param prediction: ``clean`` when ``velocities`` are predictions of the action and not velocities.
    :param steps: only the first so many actions of the chunk (those that will be executed).
    :param dims: only the first so many dimensions (the real ones, where the policy pads its actions).
    :raises InputError: naming the shape that does not fit.
    """
    v = np.asarray(velocities)
    times = np.asarray(flow_times)
    if v.ndim < 6 or not 1 <= v.shape[-6] <= v.shape[-5] or v.shape[-5] < 2 or 0 in v.shape:
        raise InputError(
            "velocities have the wrong shape",
            where="velocities",
            expected="(..., actor, member, draw, node, H, A), 2 members or more, no more actors than members",
            found=v.shape,
        )
    actors, members, draws, nodes, horizon, width = v.shape[-6:]
    if times.shape != (nodes,):
        raise InputError("one time a node is needed", where="flow_times", expected=f"({nodes},)", found=times.shape)
    for name, size, limit in (("steps", steps, horizon), ("dims", dims, width)):
        if size is not None and not 1 <= size <= limit:
            raise InputError("outside the chunk", where=name, expected=f"1 to {limit}", found=size)
    v = v[..., slice(steps), slice(dims)]
    if v.dtype.itemsize < 4:
        v = v.astype(np.float32)
    node_weights = weights(times, quadrature, weight, schedule, prediction)
    parts = np.zeros((*v.shape[:-6], *v.shape[-2:]))
    for actor in range(actors):
        fields = v[..., actor, :, :, :, :, :]
        # Differences at the precision of the fields, sums in double: near t = 1 the weights are large.
        gap = (fields - fields[..., actor : actor + 1, :, :, :, :]).astype(np.float64)
        parts += np.einsum("...mdkha,...mdkha,k->...ha", gap, gap, node_weights)
    return parts / (actors * (members - 1) * draws)
