"""SAFE's losses in torch, on the inferences of several episodes laid end to end: no padding anywhere.

All follow section IV of arXiv 2506.09937 and the published code, whose values the tests hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from vla_uq.detectors.safe import Recipe

SHARPNESS = 50.0
"""Of the smooth maximum over an episode's scores."""
MARGIN = 0.1
"""Of the hard-negative term, on both sides of 1/2."""


@dataclass(frozen=True)
class Labels:
    """What a loss knows of B episodes with n inferences in all.

    :param lengths: (B,) inferences of each.
    :param failed: (B,) its outcome.
    :param weights: (n,) of each inference's term: the outcome's weight, the time's weight, one over the length.
    """

    lengths: Tensor
    failed: Tensor
    weights: Tensor

    def pick(self, episodes: Tensor, rows: Tensor) -> Labels:
        """Those of some episodes, whose inferences are ``rows``."""
        return Labels(self.lengths[episodes], self.failed[episodes], self.weights[rows])

    @classmethod
    def of(cls, lengths: NDArray[np.int64], failed: NDArray[np.bool_], time_weighting: bool) -> Labels:
        """Of a whole training set."""
        by_outcome = class_weights(failed)
        parts = []
        for length, failure in zip(lengths.tolist(), failed.tolist(), strict=True):
            in_time = time_weights(length) if failure and time_weighting else torch.ones(length)
            parts.append(in_time * (by_outcome[0 if failure else 1] / length))
        return cls(torch.from_numpy(lengths), torch.from_numpy(failed), torch.cat(parts))


def class_weights(failed: NDArray[np.bool_]) -> tuple[float, float]:
    """Weights N / (n + 1) of failures and of successes in a training set."""
    total, failures = len(failed), int(failed.sum())
    return total / (failures + 1), total / (total - failures + 1)


def time_weights(length: int) -> Tensor:
    """Weights 5 exp(-3 t / T) + 1 of a failure's T steps, scaled to a mean of 1."""
    weights = 5 * torch.exp(-3 * torch.arange(length, dtype=torch.float64) / length) + 1
    return (weights / weights.mean()).float()


def accumulated(values: Tensor, lengths: Tensor) -> Tensor:
    """Sum within its episode of each value and those before it, (n,); in float64, since it is a difference of sums."""
    sums = torch.cumsum(values.double(), 0)
    ends = torch.cumsum(lengths, 0)
    before = torch.cat([sums.new_zeros(1), sums[ends[:-1] - 1]])
    return (sums - torch.repeat_interleave(before, lengths)).to(values.dtype)


def episodes_loss(logits: Tensor, labels: Labels, recipe: Recipe, through_time: bool) -> Tensor:
    """Mean over episodes of the weighted mean over their steps, in each of the losses.

    With ``linear`` and ``hinge`` the score s_t of a step is the sum of probabilities up to it: a success's term is s_t,
    a failure's -s_t or max(threshold - s_t, 0). With ``bce`` it is the probability itself.

    :param logits: (n,) of the probabilities.
    :param through_time: let the gradient reach the probabilities before t; a recurrent network goes without.
    """
    probabilities = torch.sigmoid(logits)
    failed = torch.repeat_interleave(labels.failed, labels.lengths)
    if recipe.loss == "bce":
        scores = probabilities
        terms = binary_cross_entropy_with_logits(logits, failed.to(logits.dtype), reduction="none")
    else:
        scores = accumulated(probabilities, labels.lengths)
        if not through_time:
            scores = scores.detach() + probabilities - probabilities.detach()
        terms = torch.where(
            failed, torch.relu(recipe.threshold - scores) if recipe.loss == "hinge" else -scores, scores
        )
    total = (labels.weights * terms).sum()
    if recipe.hard_negatives:
        total = total + recipe.hard_negatives * _hard_negatives(scores, labels).sum()
    return total / len(labels.lengths)


def is_sum_over_steps(recipe: Recipe) -> bool:
    """Whether, with the gradient through time, every inference has a term of its own."""
    return recipe.loss in ("linear", "bce") and not recipe.hard_negatives


def step_factors(labels: Labels, recipe: Recipe) -> Tensor:
    """Factors (n,) of the terms that :func:`steps_loss` adds up.

    Exchanging the two sums of the linear loss leaves each probability with the weights of its own step and all later
    ones of the episode: (T - t + 1) / T where they are equal. So neither whole episodes nor padding are needed.
    """
    if recipe.loss == "bce":
        return labels.weights
    from_here_on = accumulated(labels.weights.flip(0), labels.lengths.flip(0)).flip(0)
    return torch.where(torch.repeat_interleave(labels.failed, labels.lengths), -from_here_on, from_here_on)


def steps_loss(logits: Tensor, factors: Tensor, failed: Tensor, recipe: Recipe) -> Tensor:
    """Sum of the terms of single inferences, whichever they are; all (n,)."""
    if recipe.loss == "bce":
        return (factors * binary_cross_entropy_with_logits(logits, failed.to(logits.dtype), reduction="none")).sum()
    return (factors * torch.sigmoid(logits)).sum()


def _hard_negatives(scores: Tensor, labels: Labels) -> Tensor:
    """Squared distance of each episode's smooth maximum from its side of 1/2, (B,)."""
    episodes = torch.split(scores, labels.lengths.tolist())
    peaks = torch.stack([torch.logsumexp(SHARPNESS * s, 0) / SHARPNESS for s in episodes])
    side = torch.where(labels.failed, 0.5 + MARGIN - peaks, peaks - (0.5 - MARGIN))
    return torch.relu(side).square()
