"""Entropy and perplexity of tokens: how sure a language model is, of its prompt or of the actions it writes.

Of a prefix they are the baselines of arXiv 2606.18043, which finds them nearly useless for action uncertainty; of
action tokens they are all that a plain autoregressive policy offers.

Cost: none beyond the forward pass that made the tokens.
"""

from __future__ import annotations

import math

import numpy as np

from vla_uq.errors import InputError
from vla_uq.uncertainty.inputs import Field


def token_entropy(entropies: Field) -> float:
    """Mean entropy of the tokens (nats).

    :param entropies: (tokens,).
    :raises InputError: when there are none.
    """
    return float(np.mean(_some(entropies, "entropies"), dtype=np.float64))


def perplexity(logprobs: Field) -> float:
    """exp(−mean ln p) of the tokens that were chosen, 1 or more.

    :param logprobs: (tokens,) nats.
    :raises InputError: when there are none.
    """
    return math.exp(-float(np.mean(_some(logprobs, "logprobs"), dtype=np.float64)))


def _some(values: Field, where: str) -> Field:
    array = np.asarray(values)
    if array.ndim != 1 or not len(array):
        raise InputError("needs one value a token", where=where, expected="(tokens,)", found=array.shape)
    return array
