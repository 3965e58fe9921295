"""Training of SAFE-MLP in torch; imported only when a detector is fitted."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from vla_uq.detectors.base import Progress
from vla_uq.detectors.safe import Check, Episodes
from vla_uq.detectors.safe_mlp import Network, SafeTraining
from vla_uq.detectors.safe_training import SafeNet, train


class MlpNet(SafeNet):
    """Linear layers with ReLU between them, step by step.

    :param layers: how many; one is linear.
    """

    through_time = True

    def __init__(self, inputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        sizes = [inputs, *[hidden] * (layers - 1)]
        inner = [module for pair in pairwise(sizes) for module in (nn.Linear(*pair), nn.ReLU())]
        self.layers = nn.Sequential(*inner, nn.Linear(sizes[-1], 1))

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """See :meth:`SafeNet.forward`."""
        return self.layers(inputs).squeeze(-1)


def train_mlp(
    episodes: Episodes, selection: Episodes | None, recipe: SafeTraining, rule: str, progress: Progress | None
) -> tuple[Network, tuple[Check, ...]]:
    """Train and take the weights out; see :func:`vla_uq.detectors.safe_training.train`."""

    def make(inputs: int) -> MlpNet:
        return MlpNet(inputs, recipe.hidden, recipe.layers)

    net, (mean, scale), history = train("safe_mlp", make, recipe, rule, episodes, selection, progress)
    linear = [m for m in net.layers if isinstance(m, nn.Linear)]
    layers = tuple((m.weight.detach().numpy().copy(), m.bias.detach().numpy().copy()) for m in linear)
    return Network(mean, scale, layers), history
