"""Training of RND's predictors in torch; imported only when a detector is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from vla_uq.detectors.base import Progress
from vla_uq.detectors.distillation import SLOPE, Distillation
from vla_uq.detectors.learnt import Stored
from vla_uq.detectors.net_training import EpisodeSteps, exported, perceptron, repeatable

if TYPE_CHECKING:
    from vla_uq.detectors.rnd import Rnd


def train(episodes: Sequence[Stored], settings: Rnd, progress: Progress | None = None) -> Distillation:
    """Train a predictor on the steps of one outcome; the target depends on the seed and the sizes alone.

    :param episodes: (T_i, N) scaled chunk and features of each step.
    """
    steps = EpisodeSteps(episodes)
    width, hidden, iterations = steps.steps.shape[1], settings.hidden, settings.iterations
    with repeatable(settings.seed):
        target = perceptron((width, hidden, settings.output), SLOPE, gain=2**0.5)
        predictor = perceptron((width, hidden, hidden, settings.output), 0.0, gain=2**0.5)
        optimizer = torch.optim.Adam(predictor.parameters(), lr=settings.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
        for i in range(1, iterations + 1):
            inputs = steps.draw(settings.batch)
            with torch.no_grad():
                wanted = target(inputs)
            loss = (predictor(inputs) - wanted).square().sum(dim=1).add(1e-12).sqrt().mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            if progress is not None and (i % 100 == 0 or i == iterations):
                progress(i, iterations, "training rnd")
    return Distillation(exported(target, SLOPE), exported(predictor, 0.0))
