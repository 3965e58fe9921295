"""How far the members of an ensemble disagree about the tokens of an action that one of them wrote.

The others read the actor's tokens (teacher forcing), so that all of them predict the same token after the same words:
the counterpart of comparing flow fields on the actor's own path.

Cost: one forward pass a further member, over prompt and tokens together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError


def mutual_information(logits: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Information that a token has about the member which predicted it: H(mean p) − mean H(p).

    It is also the Jensen-Shannon divergence of the members' distributions with equal weights: 0 when all agree, however
    undecided each of them is, and at most ln M.

    :param logits: (members, tokens, actions), of action tokens alone.
    :returns: (tokens,) nats.
    :raises InputError: on another shape, or fewer than two members.
    """
    values = np.asarray(logits, np.float64)
    if values.ndim != 3 or values.shape[0] < 2 or values.shape[2] < 1:
        raise InputError(
            "needs the logits of several members", where="logits", expected="(2 or more, n, A)", found=values.shape
        )
    logs = values - np.logaddexp.reduce(values, axis=2, keepdims=True)
    mean = np.logaddexp.reduce(logs, axis=0) - np.log(len(logs))
    # As a mean of Kullback-Leibler divergences: a difference of two entropies loses what is small.
    p = np.exp(logs)
    terms = np.where(p > 0, p * np.where(p > 0, logs - mean, 0.0), 0.0)
    return np.asarray(np.maximum(terms.sum(axis=2).mean(axis=0), 0.0), np.float32)
