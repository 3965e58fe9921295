"""Training of SAFE-LSTM in torch; imported only when a detector is fitted."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

from vla_uq.detectors.base import Progress
from vla_uq.detectors.safe import Check, Episodes
from vla_uq.detectors.safe_lstm import RecurrentNetwork, SafeLstmTraining
from vla_uq.detectors.safe_training import SafeNet, train


class LstmNet(SafeNet):
    """An LSTM layer and a linear one; sequences are packed, so that short episodes cost no more than they are long."""

    through_time = False

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(inputs, hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """See :meth:`SafeNet.forward`."""
        sizes = lengths.tolist()
        hidden, _ = self.recurrent(pack_sequence(list(torch.split(inputs, sizes)), enforce_sorted=False))
        # Packing goes by time first; where each row went, it tells when it packs the rows' numbers.
        rows = pack_sequence(list(torch.split(torch.arange(len(inputs)), sizes)), enforce_sorted=False).data
        return torch.empty(len(inputs)).index_copy(0, rows, self.out(hidden.data).squeeze(-1))


def train_lstm(
    episodes: Episodes, selection: Episodes | None, recipe: SafeLstmTraining, rule: str, progress: Progress | None
) -> tuple[RecurrentNetwork, tuple[Check, ...]]:
    """Train and take the weights out; see :func:`vla_uq.detectors.safe_training.train`."""

    def make(inputs: int) -> LstmNet:
        return LstmNet(inputs, recipe.hidden)

    net, (mean, scale), history = train("safe_lstm", make, recipe, rule, episodes, selection, progress)
    # torch's gates come in the order that RecurrentNetwork names.
    of = {name: parameter.detach().numpy().copy() for name, parameter in net.named_parameters()}
    network = RecurrentNetwork(
        mean,
        scale,
        of["recurrent.weight_ih_l0"],
        of["recurrent.weight_hh_l0"],
        of["recurrent.bias_ih_l0"] + of["recurrent.bias_hh_l0"],
        of["out.weight"][0],
        of["out.bias"],
    )
    return network, history
