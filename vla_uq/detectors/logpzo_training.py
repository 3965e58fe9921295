"""Training of LogpZO's flows in torch; imported only when a detector is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vla_uq.detectors.base import Progress
from vla_uq.detectors.learnt import Stored, single
from vla_uq.detectors.mlp import Mlp
from vla_uq.detectors.net_training import EpisodeSteps, exported, perceptron, repeatable

if TYPE_CHECKING:
    from vla_uq.detectors.logpzo import LogpZo

FREQUENCIES = 8
"""Of the time's embedding: sin and cos of pi k u."""


def train(episodes: Sequence[Stored], settings: LogpZo, progress: Progress | None = None) -> Mlp:
    """Flow matching from features to noise: x_u = (1 - u) x_0 + u x_1 with x_1 ~ N(0, I), target x_1 - x_0.

    :param episodes: (T_i, D) scaled features of one outcome.
    :returns: the velocity at u = 0.
    """
    steps = EpisodeSteps(episodes)
    width, iterations, batch = steps.steps.shape[1], settings.iterations, settings.batch
    with repeatable(settings.seed):
        net = perceptron((width + 2 * FREQUENCIES, settings.hidden, width), slope=0.0)
        optimizer = torch.optim.Adam(net.parameters(), lr=settings.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
        for i in range(1, iterations + 1):
            data, time = steps.draw(batch), torch.rand(batch, 1)
            noise = torch.randn_like(data)
            velocity = net(torch.cat([(1 - time) * data + time * noise, embedded(time)], dim=1))
            loss = (velocity - (noise - data)).square().mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            if progress is not None and (i % 100 == 0 or i == iterations):
                progress(i, iterations, "training logpzo")
    return at_start(exported(net, 0.0), width)


def embedded(time: Tensor) -> Tensor:
    """Embedding (n, 2 FREQUENCIES) of times (n, 1)."""
    angles = torch.pi * torch.arange(1, FREQUENCIES + 1) * time
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def at_start(net: Mlp, width: int) -> Mlp:
    """The net at u = 0, of the features alone."""
    weight, bias = net.layers[0]
    time = embedded(torch.zeros(1, 1)).double().numpy()[0]
    return Mlp(((weight[:, :width].copy(), single(bias + weight[:, width:] @ time)), *net.layers[1:]), net.slope)
