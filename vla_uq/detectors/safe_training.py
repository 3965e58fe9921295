"""Training of SAFE-MLP in torch; imported only when a detector is fitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vla_uq.detectors.base import Progress
from vla_uq.detectors.safe_mlp import Network, SafeTraining
from vla_uq.errors import InputError

Array = NDArray[np.float32]


def train(
    features: Sequence[Array], failed: Sequence[bool], settings: SafeTraining, progress: Progress | None = None
) -> Network:
    """Train on whole episodes with Adam; the last state is used.

    :param features: (T_i, D) of each episode.
    :param failed: its outcome.
    :returns: the same network for the same episodes, order, settings and torch build.
    :raises InputError: when an outcome does not occur, or features differ in size or are not finite.
    """
    _check(features, failed)
    steps = np.concatenate(features).astype(np.float64)
    mean, deviation = steps.mean(axis=0), steps.std(axis=0)
    # A feature that never varied in training says nothing: leave it as it is instead of blowing it up.
    scale = np.where(deviation > 1e-6 * np.maximum(np.abs(mean), 1e-3), deviation, 1.0)
    inputs = [torch.from_numpy(((f - mean) / scale).astype(np.float32)) for f in features]
    labels = torch.tensor(list(failed))
    weights = class_weights(labels)
    with _single_thread(settings.seed):
        net = _network(len(mean), settings.hidden)
        optimizer = torch.optim.Adam(net.parameters(), lr=settings.learning_rate)
        for i, batch in enumerate(_batches(len(inputs), settings.batch, settings.iterations), 1):
            loss = _batch_loss(net, [inputs[k] for k in batch], labels[batch], weights, settings)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if progress is not None and (i % 20 == 0 or i == settings.iterations):
                progress(i, settings.iterations, "training safe_mlp")
    linear = [m for m in net if isinstance(m, nn.Linear)]
    layers = tuple((m.weight.detach().numpy().copy(), m.bias.detach().numpy().copy()) for m in linear)
    return Network(mean.astype(np.float32), scale.astype(np.float32), layers)


def class_weights(failed: Tensor) -> tuple[float, float]:
    """Weights N / (n + 1) of failures and of successes in a training set."""
    total, failures = len(failed), int(failed.sum())
    return total / (failures + 1), total / (total - failures + 1)


def time_weights(length: int) -> Tensor:
    """Weights 5 exp(-3 t / T) + 1 of a failure's T steps, scaled to a mean of 1."""
    weights = 5 * torch.exp(-3 * torch.arange(length, dtype=torch.float64) / length) + 1
    return (weights / weights.mean()).float()


def safe_loss(
    probabilities: Tensor, mask: Tensor, failed: Tensor, weights: tuple[float, float], by_time: Tensor | None = None
) -> Tensor:
    """SAFE's loss of a batch: the score s_t is the sum of probabilities up to t, successes push it down, failures up.

    Per episode the mean over its steps of s_t (success) or -w_t s_t (failure), then the class-weighted mean.

    :param probabilities: (B, T) per step.
    :param mask: (B, T) true where the episode has a step.
    :param failed: (B,) bool.
    :param weights: of failures and of successes.
    :param by_time: (B, T) w_t, 1 if not given.
    """
    scores = torch.cumsum(probabilities, dim=1)
    signed = torch.where(failed[:, None], -scores if by_time is None else -by_time * scores, scores)
    per_episode = (signed * mask).sum(dim=1) / mask.sum(dim=1)
    by_class = torch.where(failed, weights[0], weights[1])
    return (by_class * per_episode).mean()


def _batch_loss(
    net: nn.Sequential, episodes: list[Tensor], failed: Tensor, weights: tuple[float, float], settings: SafeTraining
) -> Tensor:
    lengths = torch.tensor([len(e) for e in episodes])
    mask = torch.arange(int(lengths.max()))[None] < lengths[:, None]
    padded = nn.utils.rnn.pad_sequence(episodes, batch_first=True)
    by_time = None
    if settings.time_weighting:
        by_time = nn.utils.rnn.pad_sequence([time_weights(len(e)) for e in episodes], batch_first=True)
    loss = safe_loss(torch.sigmoid(net(padded)).squeeze(-1), mask, failed, weights, by_time)
    penalty = sum((m.weight.square().sum() for m in net if isinstance(m, nn.Linear)), torch.zeros(()))
    return loss + settings.regulariser * penalty


def _batches(count: int, size: int, iterations: int) -> Iterator[Tensor]:
    """Indices of ``iterations`` batches: shuffled passes over all episodes."""
    done = 0
    while done < iterations:
        for batch in torch.split(torch.randperm(count), size)[: iterations - done]:
            yield batch
            done += 1


def _network(inputs: int, hidden: int) -> nn.Sequential:
    if hidden == 0:
        return nn.Sequential(nn.Linear(inputs, 1))
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, 1))


@contextmanager
def _single_thread(seed: int) -> Iterator[None]:
    """Seeded and on one thread (quicker for nets this small, and repeatable); both are put back afterwards."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _check(features: Sequence[Array], failed: Sequence[bool]) -> None:
    failures = sum(failed)
    if failures == 0 or failures == len(failed):
        raise InputError(
            "training needs both outcomes",
            where="safe_mlp",
            expected="successes and failures",
            found=f"{len(failed) - failures} successes, {failures} failures",
            remedy="record more episodes, or run without safe_mlp: vfd needs no failures",
        )
    sizes = {f.shape[1:] for f in features}
    if len(sizes) != 1 or len(next(iter(sizes))) != 1:
        raise InputError("differ in size", where="features", expected="(T, D) with one D", found=sorted(sizes))
    if not all(np.isfinite(f).all() for f in features):
        raise InputError("are not finite", where="features")
