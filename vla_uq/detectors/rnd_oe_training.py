"""Training of RND-OE's predictor in torch; imported only when a detector is fitted."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from vla_uq.detectors.base import Progress
from vla_uq.detectors.distillation import SLOPE, Distillation
from vla_uq.detectors.learnt import Stored
from vla_uq.detectors.net_training import exported, perceptron, repeatable
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from vla_uq.detectors.rnd_oe import RndOe

LOWEST_RATE = 1e-2
"""Of the learning rate: where its cosine ends."""
VALIDATION = 0.1
"""Share of the episodes: steps of one episode are too alike to tell on which the net was trained."""


def train(episodes: Sequence[Stored], settings: RndOe, progress: Progress | None = None) -> Distillation:
    """Train with AdamW until the error on held-out episodes stops falling.

    :param episodes: (T_i, D) scaled features of successes.
    :raises InputError: when there is but one episode.
    """
    if len(episodes) < 2:
        raise InputError("needs episodes to train and to validate on", where="rnd_oe", expected=2, found=len(episodes))
    with repeatable(settings.seed):
        order = torch.randperm(len(episodes)).tolist()
        held_out = max(1, round(VALIDATION * len(episodes)))
        parts = order[:held_out], order[held_out:]
        validation, training = (torch.from_numpy(np.concatenate([episodes[i] for i in part])) for part in parts)
        width = training.shape[1]
        target = perceptron((width, *settings.target, settings.output), SLOPE, gain=2**0.5).requires_grad_(False)
        predictor = perceptron((width, *settings.predictor, settings.output), 0.0, gain=2**0.5)
        best = _train(target, predictor, training, validation, settings, progress)
        predictor.load_state_dict(best)
    return Distillation(exported(target, SLOPE), exported(predictor, 0.0))


def _train(
    target: nn.Sequential,
    predictor: nn.Sequential,
    training: Tensor,
    validation: Tensor,
    settings: RndOe,
    progress: Progress | None,
) -> dict[str, Tensor]:
    """The predictor's parameters at the lowest validation error."""
    optimizer = torch.optim.AdamW(predictor.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, settings.epochs, eta_min=LOWEST_RATE * settings.learning_rate
    )
    wanted, wanted_validation = target(training), target(validation)
    best, lowest, since = copy.deepcopy(predictor.state_dict()), math.inf, 0
    for epoch in range(1, settings.epochs + 1):
        total = 0.0
        for chosen in torch.split(torch.randperm(len(training)), settings.batch):
            loss = nn.functional.mse_loss(predictor(training[chosen]), wanted[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * len(chosen)
        schedule.step()
        with torch.no_grad():
            error = float(nn.functional.mse_loss(predictor(validation), wanted_validation))
        since += 1
        if error < lowest:
            best, lowest, since = copy.deepcopy(predictor.state_dict()), error, 0
        if progress is not None:
            progress(epoch, settings.epochs, "training rnd_oe")
        if since >= settings.patience or error > settings.overfit * total / len(training):
            break
    return best
