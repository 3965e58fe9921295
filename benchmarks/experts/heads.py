"""Experts: velocity heads on the backbone's context, trained from scratch or from the last round's weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.experts.contexts import Demonstrations
from vla_policy.nets import ACTION, FEATURE, GEOMETRY, HORIZON, WIDTH, Velocity
from vla_policy.observation import PROPRIO

_PROPRIO = slice(FEATURE + GEOMETRY, FEATURE + GEOMETRY + PROPRIO)


class Heads(nn.Module):
    """An ensemble of experts (see :class:`benchmarks.estimators.ensemble.Ensemble`).

    :param seeds: of each member's initial weights.
    """

    shape = (HORIZON, ACTION)
    width = WIDTH

    def __init__(self, seeds: Sequence[int]) -> None:
        super().__init__()
        self.nets = nn.ModuleList()
        for seed in seeds:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                self.nets.append(Velocity())

    @property
    def members(self) -> int:
        return len(self.nets)

    def forward(self, x: Tensor, t: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """(M, B, 112), (M, B), (M, B, 173) → velocity (M, B, 112) and last hidden layer (M, B, 160)."""
        found = [net(x[i], t[i], c[i]) for i, net in enumerate(self.nets)]
        return torch.stack([v for v, _ in found]), torch.stack([h for _, h in found])

    def member(self, index: int) -> Heads:
        """One member alone, sharing its weights."""
        alone = Heads([])
        alone.nets.append(self.nets[index])
        return alone

    def save(self, path: Path) -> None:
        """Write the weights."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, partial)
        partial.replace(path)

    @classmethod
    def restore(cls, path: Path) -> Heads:
        """Read what :meth:`save` wrote."""
        tensors = load_file(path)
        heads = cls(range(1 + max(int(name.split(".")[1]) for name in tensors)))
        heads.load_state_dict(tensors)
        return heads.eval()


@dataclass(frozen=True)
class Training:
    """How experts are trained.

    :param steps: optimiser steps of every member.
    :param batch: frames in a step.
    :param average: decay of the running average of weights that is kept in the end.
    """

    steps: int = 4000
    batch: int = 256
    rate: float = 1e-3
    warm_up: int = 50
    average: float = 0.995
    proprio_noise: float = 0.005


Progress = Callable[[int], None]


def train(
    heads: Heads,
    pools: Sequence[tuple[float, Sequence[Demonstrations]]],
    training: Training,
    seed: int,
    progress: Progress | None = None,
) -> Heads:
    """Train every member on its own draws from the same data.

    :param pools: share of each pool in a batch, and its demonstrations; frames are drawn uniformly from a pool.
    :returns: the running average, in new modules; the heads that were given are left as they were.
    """
    torch.set_num_threads(1)
    data = [(share, _tensors(parts)) for share, parts in pools]
    trained = [_train_one(net, data, training, 1000 * seed + i, progress) for i, net in enumerate(heads.nets)]
    result = Heads([])
    result.nets.extend(trained)
    return result.eval()


def _train_one(
    start: nn.Module,
    pools: Sequence[tuple[float, tuple[Tensor, Tensor]]],
    training: Training,
    seed: int,
    progress: Progress | None,
) -> nn.Module:
    draw = torch.Generator().manual_seed(seed)
    net, average = copy.deepcopy(start).train(), copy.deepcopy(start)
    optimiser = torch.optim.AdamW(net.parameters(), lr=training.rate, weight_decay=1e-3)
    counts = _counts([share for share, _ in pools], training.batch)
    for step in range(training.steps):
        cosine = 0.5 * (1 + math.cos(math.pi * step / training.steps))
        for group in optimiser.param_groups:
            group["lr"] = training.rate * min(1.0, (step + 1) / training.warm_up) * cosine
        rows = [torch.randint(len(c), (n,), generator=draw) for n, (_, (c, _)) in zip(counts, pools, strict=True)]
        context, chunk = (
            torch.cat([columns[i][r] for r, (_, columns) in zip(rows, pools, strict=True)]) for i in range(2)
        )
        noise = torch.randn(chunk.shape, generator=draw)
        t = torch.rand(len(chunk), generator=draw)
        context[:, _PROPRIO] += training.proprio_noise * torch.randn((len(context), PROPRIO), generator=draw)
        velocity, _ = net((1 - t[:, None]) * noise + t[:, None] * chunk, t, context)
        loss = functional.mse_loss(velocity, chunk - noise)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        decay = min(training.average, (step + 1) / (step + 10))
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), net.parameters(), strict=True):
                slow.lerp_(fast, 1 - decay)
        if progress is not None and step % 100 == 99:
            progress(100)
    return average


def _tensors(parts: Sequence[Demonstrations]) -> tuple[Tensor, Tensor]:
    context = np.concatenate([part.context for part in parts])
    return torch.from_numpy(context), torch.from_numpy(np.concatenate([part.chunk for part in parts]))


def _counts(shares: Sequence[float], batch: int) -> list[int]:
    """Frames of each pool in a batch, in proportion to the shares."""
    edges = np.round(np.cumsum([0.0, *shares]) / sum(shares) * batch).astype(int)
    return np.diff(edges).tolist()
