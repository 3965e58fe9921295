"""Action-L2: how far the chunks that two members sample lie apart (baseline of arXiv 2606.18043)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError
from vla_uq.uncertainty.inputs import Field, flat_samples


def action_l2(samples: Field, *, shared_noise: bool = False) -> float:
    """Mean distance between the chunks of member 0 and those of the other members.

    With independent noise all pairs of draws count, so the spread within each member is in the score: it is large
    where the demonstrations are multimodal, however sure the ensemble is. With shared noise draw n is compared with
    draw n alone, which removes most of that.

    Cost: every member samples its chunks, M K N network evaluations.

    :param samples: (member, draw, H, A) normalised chunks, 2 members or more.
    :param shared_noise: the members' draw n began at the same noise.
    :raises InputError: naming the shape that does not fit.
    """
    flat = flat_samples(samples)
    if len(flat) < 2:
        raise InputError("needs chunks of two members", where="samples", expected="(2 or more, …)", found=flat.shape)
    own, others = flat[0], flat[1:]
    if shared_noise:
        return float(np.linalg.norm(others - own, axis=-1).mean())
    return float(np.mean([_distances(own, other).mean() for other in others]))


def _distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """All distances between rows of (N, D) and of (N', D), (N, N'), from differences: exact for close rows."""
    distances: NDArray[np.float64] = np.linalg.norm(a[:, None] - b[None], axis=-1)
    return distances
