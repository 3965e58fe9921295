"""The published training loop of SAFE (arXiv 2506.09937), stated again from its description, to be timed against.

Rollouts padded to the longest, a batch of 512 of them, one Adam step a batch, a thousand epochs, the last state kept,
features as they are. One thread, like ours.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy
from torch.nn.utils.rnn import pad_sequence

from vla_uq.detectors.safe import Array, Episodes
from vla_uq.detectors.safe_training_loss import class_weights

BATCH = 512


class ReferenceMlp(nn.Module):
    """Two layers; the score is the sum of probabilities so far."""

    def __init__(self, inputs: int, hidden: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, D) to (B, T)."""
        return torch.cumsum(torch.sigmoid(self.layers(features)).squeeze(-1), dim=1)

    def terms(self, scores: Tensor, failed: Tensor) -> Tensor:
        """What is averaged over an episode's steps."""
        return torch.where(failed[:, None], -scores, scores)


class ReferenceLstm(nn.Module):
    """One recurrent layer; the score is the probability."""

    def __init__(self, inputs: int, hidden: int = 256) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(inputs, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, D) to (B, T)."""
        return torch.sigmoid(self.out(self.recurrent(features)[0])).squeeze(-1)

    def terms(self, scores: Tensor, failed: Tensor) -> Tensor:
        """What is averaged over an episode's steps."""
        return binary_cross_entropy(scores, failed[:, None].expand_as(scores).to(scores.dtype), reduction="none")


Reference = ReferenceMlp | ReferenceLstm


@dataclass(frozen=True)
class Epoch:
    """One of them.

    :param seconds: processor time of training until its end; looking at it is not counted.
    :param auc: NaN where nobody looked.
    """

    seconds: float
    auc: float


def train_reference(
    net: Reference,
    episodes: Episodes,
    learning_rate: float,
    regulariser: float,
    epochs: int,
    looks: int,
    judge: Callable[[Reference], float],
) -> Iterator[Epoch]:
    """Train ``net`` in place; yields each epoch.

    :param looks: how many times ``judge`` gives the selection AUC, evenly, the last time after the last epoch. The loop
        itself knows nothing of it.
    """
    began = time.thread_time()
    features = pad_sequence([torch.from_numpy(f) for f in episodes.features], batch_first=True)
    lengths, failed = torch.from_numpy(episodes.lengths), torch.from_numpy(episodes.failed)
    mask = torch.arange(features.shape[1])[None] < lengths[:, None]
    by_outcome = torch.where(failed, *class_weights(episodes.failed))
    optimizer = torch.optim.Adam(net.parameters(), lr=learning_rate)
    spent = time.thread_time() - began
    for number in range(1, epochs + 1):
        began = time.thread_time()
        for batch in torch.split(torch.randperm(len(lengths)), BATCH):
            terms = net.terms(net(features[batch]), failed[batch])
            each = (terms * mask[batch]).sum(1) / mask[batch].sum(1)
            penalty = sum((p.square().sum() for n, p in net.named_parameters() if "bias" not in n), torch.zeros(()))
            loss = (by_outcome[batch] * each).mean() + regulariser * penalty
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        spent += time.thread_time() - began
        yield Epoch(spent, judge(net) if number % (epochs // looks) == 0 else math.nan)


def reference_scores(net: Reference, features: Array) -> Array:
    """Scores (T,) of an episode (T, D)."""
    with torch.inference_mode():
        return net(torch.from_numpy(features)[None])[0].numpy()
