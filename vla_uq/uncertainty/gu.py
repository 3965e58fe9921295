"""Generative uncertainty (GU): variance, over an ensemble, of the chunks that grow from the same noise.

The members integrate the same noise, so that what varies is the field and not the draw. Two summaries are in use: the
sum of log variances (uq_vla, in the tables of arXiv 2606.18043), and the entropy of a Gaussian with a floor
(Jazbec et al. 2025, for images on CLIP features; for actions the features are the actions themselves).

Cost: M K N network evaluations.
"""

from __future__ import annotations

import math

import numpy as np

from vla_uq.errors import InputError
from vla_uq.uncertainty.inputs import Field, Floats, flat_samples

VARIANCE_FLOOR = 1e-8


def log_variance(samples: Field) -> float:
    """Sum over the chunk of ln(Var + 1e-8), unbiased variance over members, mean over draws.

    A dimension on which the members agree exactly contributes −18: scores of different action spaces do not compare.

    :param samples: (member, draw, H, A) from shared noise, 2 members or more.
    :raises InputError: naming the shape that does not fit.
    """
    return float(np.log(_members(samples).var(axis=0, ddof=1) + VARIANCE_FLOOR).sum(axis=-1).mean())


def gaussian_entropy(samples: Field, noise: float = 1e-3) -> float:
    """H = ½ Σ ln(Var + σ²) + ½ D (ln 2π + 1) with the biased variance over members, mean over draws (nats).

    :param samples: as :func:`log_variance`.
    :param noise: σ².
    :raises InputError: as :func:`log_variance`.
    """
    flat = _members(samples)
    spread = np.log(flat.var(axis=0) + noise).sum(axis=-1) / 2
    return float(spread.mean() + flat.shape[-1] * (math.log(2 * math.pi) + 1) / 2)


def _members(samples: Field) -> Floats:
    flat = flat_samples(samples)
    if len(flat) < 2:
        raise InputError("needs chunks of two members", where="samples", expected="(2 or more, …)", found=flat.shape)
    return flat
