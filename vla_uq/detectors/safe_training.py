"""Training of the SAFE detectors in torch; imported only when a detector is fitted.

A pass over the episodes is cut into many optimiser steps, and training ends when other episodes are ranked no better
than before: the published loop takes one step a pass, a thousand times, and keeps the last state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vla_uq.detectors.aggregate import aggregate
from vla_uq.detectors.base import Progress
from vla_uq.detectors.safe import Array, Check, Episodes, Recipe
from vla_uq.detectors.safe_training_loss import Labels, episodes_loss, is_sum_over_steps, step_factors, steps_loss
from vla_uq.errors import InputError
from vla_uq.evaluation.metrics import roc_auc

CHECK = 10
"""Optimiser steps from one look at the selection episodes to the next."""
FEWEST = 5
"""Episodes of each outcome to select on: an AUC over fewer says nothing."""
SCORED = 32
"""Episodes scored at a time: torch's recurrent layer is quickest with few."""

Net = TypeVar("Net", bound="SafeNet")


class SafeNet(nn.Module):
    """A network in training.

    ``through_time``: the gradient of a step's score reaches the probabilities before it.
    """

    through_time: bool

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Logits (n,) of episodes laid end to end, from standardised features (n, D) and their lengths (B,)."""
        raise NotImplementedError


def train(
    name: str,
    make: Callable[[int], Net],
    recipe: Recipe,
    rule: str,
    episodes: Episodes,
    selection: Episodes | None,
    progress: Progress | None,
) -> tuple[Net, tuple[Array, Array], tuple[Check, ...]]:
    """Train a network that ``make`` makes for features of a size.

    :param rule: aggregation of the scores that selection ranks.
    :returns: the best state by selection, or the last without it; mean and scale of the features; the checks. The same
        for the same episodes, order, recipe and torch build.
    :raises InputError: when an outcome does not occur, or features differ in size or are not finite.
    """
    check_episodes(name, episodes, selection)
    training, chosen = (episodes, selection) if selection else hold_out(episodes, recipe.selection, recipe.seed)
    mean, scale = standard(training.features)
    inputs = _flat(training.features, mean, scale)
    labels = Labels.of(training.lengths, training.failed, recipe.time_weighting)
    history: list[Check] = []
    with _single_thread(recipe.seed):
        net = make(len(mean))
        judge = Judge(training, chosen, mean, scale, rule) if chosen is not None else None
        best, best_at, best_auc = net, 0, -np.inf
        optimizer = torch.optim.Adam(net.parameters(), lr=recipe.learning_rate)
        for i, loss in enumerate(islice(_losses(net, inputs, labels, recipe), recipe.iterations), 1):
            loss = loss + recipe.regulariser * _squares(net)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if i % CHECK and i < recipe.iterations:
                continue
            if judge is not None:
                auc = judge.auc(net)
                history.append(Check(i, auc))
                if auc > best_auc:
                    best, best_at, best_auc = deepcopy(net), i, auc
            waited = judge is not None and i - best_at >= recipe.patience
            if progress is not None:
                progress(recipe.iterations if waited else i, recipe.iterations, f"training {name}")
            if waited:
                break
    return best, (mean, scale), tuple(history)


def hold_out(episodes: Episodes, share: float, seed: int) -> tuple[Episodes, Episodes | None]:
    """Split by a seed into episodes to train and to select on, with the same share of both outcomes.

    None to select on where there would be fewer than :data:`FEWEST` of an outcome; then all train.
    """
    rng = np.random.default_rng(seed)
    by_outcome = [rng.permutation(np.flatnonzero(episodes.failed == outcome)) for outcome in (False, True)]
    counts = [round(share * len(members)) for members in by_outcome]
    if min(counts) < FEWEST:
        return episodes, None
    held = np.sort(np.concatenate([members[:n] for members, n in zip(by_outcome, counts, strict=True)]))
    return episodes.pick(np.setdiff1d(np.arange(len(episodes)), held)), episodes.pick(held)


class Judge:
    """Ranks the selection episodes with a network in training.

    Scores count up to the shortest episode of the task, whichever part has it: failures last longer than successes, and
    a maximum over more steps is larger.
    """

    def __init__(self, training: Episodes, selection: Episodes, mean: Array, scale: Array, rule: str) -> None:
        shortest: dict[str, int] = {}
        for part in (training, selection):
            for task, length in zip(part.tasks, part.lengths.tolist(), strict=True):
                shortest[task] = min(length, shortest.get(task, length))
        kept = [f[: shortest[task]] for f, task in zip(selection.features, selection.tasks, strict=True)]
        self._failed, self._rule = selection.failed, rule
        self._parts = [
            (_flat(kept[i : i + SCORED], mean, scale), torch.tensor([len(f) for f in kept[i : i + SCORED]]))
            for i in range(0, len(kept), SCORED)
        ]

    def auc(self, net: SafeNet) -> float:
        """Area under the ROC curve of the largest aggregated score."""
        peaks: list[float] = []
        with torch.inference_mode():
            for inputs, lengths in self._parts:
                for curve in torch.sigmoid(net(inputs, lengths)).split(lengths.tolist()):
                    peaks.append(float(aggregate(self._rule, curve.numpy()).max()))
        return roc_auc(peaks, self._failed)


def standard(features: Sequence[Array]) -> tuple[Array, Array]:
    """Mean and standard deviation (D,) of all steps; 1 for a feature that hardly varies.

    Such a feature says nothing in training: it is left as it is instead of being blown up.
    """
    count = sum(map(len, features))
    mean = sum(f.sum(axis=0, dtype=np.float64) for f in features) / count
    squares: NDArray[np.float64] = sum(np.square(f - mean).sum(axis=0) for f in features)
    deviation = np.sqrt(squares / count)
    scale = np.where(deviation > 1e-6 * np.maximum(np.abs(mean), 1e-3), deviation, 1.0)
    return mean.astype(np.float32), scale.astype(np.float32)


def check_episodes(name: str, episodes: Episodes, selection: Episodes | None) -> None:
    """Refuse what cannot be learnt from.

    :raises InputError: see :func:`train`.
    """
    for part, what in ((episodes, "training"), (selection, "selection")):
        if part is None:
            continue
        failures = int(part.failed.sum())
        if failures in (0, len(part)):
            raise InputError(
                f"{what} needs both outcomes",
                where=name,
                expected="successes and failures",
                found=f"{len(part) - failures} successes, {failures} failures",
                remedy=f"record more episodes, or run without {name}: vfd needs no failures",
            )
    features = episodes.features + (selection.features if selection else [])
    sizes = {f.shape[1:] for f in features}
    if len(sizes) != 1 or len(next(iter(sizes))) != 1:
        raise InputError("differ in size", where="features", expected="(T, D) with one D", found=sorted(sizes))
    if not all(np.isfinite(f).all() for f in features):
        raise InputError("are not finite", where="features")


def _losses(net: SafeNet, inputs: Tensor, labels: Labels, recipe: Recipe) -> Iterator[Tensor]:
    """The loss of one batch after the other, in shuffled passes without end.

    Where every inference has a term of its own, batches are of inferences from anywhere (less alike than those of a few
    episodes); otherwise of whole episodes.
    """
    if net.through_time and is_sum_over_steps(recipe):
        factors, failed = step_factors(labels, recipe), torch.repeat_interleave(labels.failed, labels.lengths)
        size = math.ceil(recipe.batch * len(inputs) / len(labels.lengths))
        while True:
            for rows in torch.split(torch.randperm(len(inputs)), size):
                logits = net(inputs[rows], torch.ones(len(rows), dtype=torch.int64))
                loss = steps_loss(logits, factors[rows], failed[rows], recipe)
                yield loss * (len(inputs) / len(rows) / len(labels.lengths))
    ends = torch.cumsum(labels.lengths, 0).tolist()
    starts = [0, *ends[:-1]]
    while True:
        for batch in torch.split(torch.randperm(len(labels.lengths)), recipe.batch):
            rows = torch.cat([torch.arange(starts[k], ends[k]) for k in batch.tolist()])
            picked = labels.pick(batch, rows)
            yield episodes_loss(net(inputs[rows], picked.lengths), picked, recipe, net.through_time)


def _squares(net: nn.Module) -> Tensor:
    """Sum of the squares of all weights; biases are free."""
    return torch.stack([p.square().sum() for name, p in net.named_parameters() if "bias" not in name]).sum()


def _flat(features: Sequence[Array], mean: Array, scale: Array) -> Tensor:
    return torch.from_numpy(np.concatenate([(f - mean) / scale for f in features]))


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
