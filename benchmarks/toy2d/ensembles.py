"""Cheap ensembles: what members that share most of their weights are worth. Each is two members on one base."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from benchmarks.estimators.posterior import Posteriors
from benchmarks.toy2d.nets import DEPTH, Stack, reinitialised, train
from benchmarks.toy2d.problem import Array

Data = tuple[Array, Array]
TUNING = 600
"""Steps of every fine-tune."""


def _tuned(base: Stack, data: Data, seed: int, *, rate: float = 2e-3, bootstrap: bool = False) -> Stack:
    """Two fine-tunes of one checkpoint, which differ in the order of the data, or in the data."""
    pair = base.select([0, 0])
    train(pair, data, steps=TUNING, seed=seed, rate=rate, bootstrap=bootstrap)
    return pair


def _base_against_tuned(base: Stack, data: Data, seed: int) -> Stack:
    both = base.select([0, 0])
    tuned = _tuned(base, data, seed)
    with torch.no_grad():
        for mine, theirs in zip(both.parameters(), tuned.parameters(), strict=True):
            mine[1] = theirs[1]
    return both


def _fresh_layers(base: Stack, data: Data, seed: int, *, layers: int) -> Stack:
    """A frozen trunk with new last layers."""
    pair = base.select([0, 0])
    masks = reinitialised(pair, layers, seed)
    train(pair, data, steps=4 * TUNING, seed=seed, keep=masks)
    return pair


def _low_rank(base: Stack, data: Data, seed: int, *, rank: int = 4) -> Stack:
    """Two low-rank adapters on one checkpoint, each on a resample of the data."""
    from benchmarks.toy2d.lora import train_adapters

    return train_adapters(base, data, steps=TUNING, seed=seed, rank=rank)


def _drawn_layers(base: Stack, data: Data, seed: int, *, members: int) -> Stack:
    """The base, and members whose last layer is drawn from its Laplace posterior."""
    posterior = Posteriors(base.member(0), data, seed).full(1.0)
    draw = torch.Generator().manual_seed(seed)
    stack = base.select([0] * (members + 1))
    root = torch.from_numpy(posterior.root).float()
    with torch.no_grad():
        for member in range(1, members + 1):
            offset = root @ torch.randn((len(root), 2), generator=draw)
            stack.weights[DEPTH][member] += offset[:-1]
            stack.biases[DEPTH][member] += offset[-1:]
    return stack


ENSEMBLES: dict[str, Callable[[Stack, Data, int], Stack]] = {
    "fine_tuned_base_and_one": _base_against_tuned,
    "fine_tuned_two": _tuned,
    "fine_tuned_bootstrap": partial(_tuned, bootstrap=True),
    "fine_tuned_gently": partial(_tuned, rate=1e-4),
    "new_last_layer": partial(_fresh_layers, layers=1),
    "new_last_2_layers": partial(_fresh_layers, layers=2),
    "new_last_3_layers": partial(_fresh_layers, layers=3),
    "low_rank_bootstrap": _low_rank,
    "laplace_1_draw": partial(_drawn_layers, members=1),
    "laplace_5_draws": partial(_drawn_layers, members=5),
}
