"""Variance of the chunks that a policy draws for one observation (sample consistency, arXiv 2506.09937)."""

from __future__ import annotations

from vla_uq.uncertainty.chunks import Chunks, Floats, check_draws, columns


def chunk_variance(samples: Chunks, part: str = "all") -> Floats:
    """Unbiased variance over draws, summed over the chunk's H actions and the part's columns.

    ``all`` is the trace of the covariance of the flattened chunk; translation, rotation and gripper add up to it.
    (The published code takes the columns of the flattened chunk, so that its translation is that of the first action
    alone and its gripper nearly everything.)

    :param samples: (..., draw, H, A), 2 draws or more.
    :param part: see :func:`vla_uq.uncertainty.chunks.columns`.
    :returns: (...), in squared units of the actions; it grows with H.
    :raises InputError: when there is one draw, or actions do not have the part.
    """
    check_draws(samples)
    variance: Floats = columns(samples, part).var(axis=-3, ddof=1).sum(axis=(-2, -1))
    return variance
