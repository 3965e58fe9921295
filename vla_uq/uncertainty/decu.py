"""DECU: pairwise divergences between the members, averaged so that the score is at most ln M (Berry et al. 2024).

Score = −1/M Σ_i ln(1/M Σ_j exp(−D_ij)): an estimate of the mutual information between the chunk and the member (PaiDE).
The published one takes D_ij = ||v_i − v_j||² at one late node of one path; in high dimensions those are large and the
score saturates at ln M. With D_ij the divergence that VFD estimates it saturates later, and ranks as VFD for M = 2.

Cost: the path of the trunk, then M N evaluations (one node); with VFD's divergences those of two-way VFD.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from vla_uq.errors import InputError
from vla_uq.uncertainty.inputs import Field, Floats
from vla_uq.uncertainty.vfd import vfd

BRANCH = 0.995
"""Flow time at which the members look at the trunk's path, t = 0 at noise."""


def decu(velocities: Field) -> float:
    """The published score, mean over draws, in [0, ln M].

    :param velocities: (member, draw, H, A) of every member at the same states, near t = 1.
    :raises InputError: naming the shape that does not fit.
    """
    v = np.asarray(velocities)
    if v.ndim != 4 or 0 in v.shape or len(v) < 2:
        raise InputError(
            "velocities have the wrong shape",
            where="velocities",
            expected="(member, draw, H, A), 2 members or more",
            found=v.shape,
        )
    flat = v.reshape(*v.shape[:2], -1).astype(np.float64)
    gaps = flat[:, None] - flat[None]
    distances = np.einsum("ijnd,ijnd->nij", gaps, gaps)
    return float(np.mean([pairwise_information(one) for one in distances]))


def decu_kl(velocities: Field, flow_times: Field) -> float:
    """The score with D_ij the VFD of member j on member i's path, in [0, ln M].

    :param velocities: (actor, member, draw, node, H, A), all members being actors.
    :param flow_times: (node,) as :func:`vla_uq.uncertainty.vfd.vfd`.
    :raises InputError: naming the shape that does not fit.
    """
    v = np.asarray(velocities)
    if v.ndim != 6 or v.shape[0] != v.shape[1]:
        raise InputError(
            "velocities have the wrong shape",
            where="velocities",
            expected="(actor, member, draw, node, H, A), as many actors as members",
            found=v.shape,
        )
    divergences = np.zeros(v.shape[:2])
    for i, j in itertools.permutations(range(len(v)), 2):
        divergences[i, j] = vfd(v[i : i + 1, [i, j]], flow_times)
    return pairwise_information(divergences)


def pairwise_information(divergences: Floats) -> float:
    """−1/M Σ_i ln(1/M Σ_j exp(−D_ij)) of a matrix of divergences (M, M) whose diagonal is 0.

    :raises InputError: when the matrix is not square.
    """
    d = np.asarray(divergences, np.float64)
    if d.ndim != 2 or d.shape[0] != d.shape[1] or not len(d):
        raise InputError("not a square matrix", where="divergences", found=d.shape)
    return float(-np.mean(np.logaddexp.reduce(-d, axis=1) - math.log(len(d))))
