"""What training small nets in torch shares; imported only when a detector is fitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from vla_uq.detectors.learnt import Stored
from vla_uq.detectors.mlp import Mlp


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Seeded and on one thread (quicker for nets this small); both are put back afterwards."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def perceptron(sizes: Sequence[int], slope: float, gain: float | None = None) -> nn.Sequential:
    """Linear layers of these sizes with a leaky ReLU between them.

    :param gain: of an orthogonal initialisation with zero biases; torch's own if not given.
    """
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layer = nn.Linear(inputs, outputs)
        if gain is not None:
            nn.init.orthogonal_(layer.weight, gain)
            nn.init.zeros_(layer.bias)
        modules += [layer, nn.LeakyReLU(slope)]
    return nn.Sequential(*modules[:-1])


def exported(net: nn.Sequential, slope: float) -> Mlp:
    """The same net for scoring."""
    linear = [module for module in net if isinstance(module, nn.Linear)]
    return Mlp(tuple((m.weight.detach().double().numpy(), m.bias.detach().double().numpy()) for m in linear), slope)


class EpisodeSteps:
    """Random steps of episodes: each episode is as likely as any other, however long it is.

    This is the mean over an episode's own steps, then over the episodes, without padding that a mean could include.

    :param episodes: (T_i, N) of each.
    """

    def __init__(self, episodes: Sequence[Stored]) -> None:
        self.steps = torch.from_numpy(np.concatenate(episodes))
        self._lengths = torch.tensor([len(episode) for episode in episodes])
        self._starts = torch.cumsum(self._lengths, 0) - self._lengths

    def draw(self, count: int) -> Tensor:
        """``count`` steps, (count, N)."""
        episode = torch.randint(len(self._lengths), (count,))
        # In double: a single-precision uniform rounds up to the length of long episodes now and then.
        within = (torch.rand(count, dtype=torch.float64) * self._lengths[episode]).long()
        return self.steps[self._starts[episode] + within]
