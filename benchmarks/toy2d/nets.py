"""The toy's members: small velocity networks, trained side by side as one stack."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Array = NDArray[np.float64]
WIDTH, DEPTH, INPUTS = 128, 3, 13


class Stack(nn.Module):
    """Members with the same architecture, (x, t, c) → velocity; each layer's weights are one tensor (M, in, out).

    :param seeds: of each member's initial weights.
    """

    frequencies: Tensor
    shape = (1, 2)
    width = WIDTH

    def __init__(self, seeds: Sequence[int]) -> None:
        super().__init__()
        sizes = [INPUTS, *[WIDTH] * DEPTH, 2]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
            drawn = [_initial(seed, layer, fan_in, fan_out) for seed in seeds]
            self.weights.append(nn.Parameter(torch.stack([w for w, _ in drawn])))
            self.biases.append(nn.Parameter(torch.stack([b for _, b in drawn])))
        self.register_buffer("frequencies", math.pi * torch.arange(1, 5))

    @property
    def members(self) -> int:
        return len(self.weights[0])

    def forward(self, x: Tensor, t: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """(M, B, 2), (M, B), (M, B, 2) → velocity (M, B, 2) and the last hidden layer (M, B, 128)."""
        phase = t[..., None] * self.frequencies
        h = torch.cat([x, t[..., None], phase.sin(), phase.cos(), c], -1)
        # By index: a slice of a ParameterList makes parameters of its own, which cuts substituted weights off.
        for layer in range(DEPTH):
            h = functional.silu(torch.baddbmm(self.biases[layer], h, self.weights[layer]))
        return torch.baddbmm(self.biases[DEPTH], h, self.weights[DEPTH]), h

    def member(self, index: int) -> Stack:
        """One member alone, with its own copy of the weights."""
        return self.select([index])

    def select(self, indices: Sequence[int]) -> Stack:
        """Copies of some members; one may occur more than once."""
        copy = Stack([0] * len(indices))
        with torch.no_grad():
            for mine, theirs in zip(copy.parameters(), self.parameters(), strict=True):
                mine.copy_(theirs[list(indices)])
        return copy


def train(
    stack: Stack,
    data: tuple[Array, Array],
    *,
    steps: int,
    seed: int,
    rate: float = 2e-3,
    bootstrap: bool = False,
    keep: Callable[[Stack], Sequence[Tensor | None]] | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Flow matching with AdamW and a cosine schedule; every member sees its own order, times and noise.

    :param data: conditions and actions, (n, 2) each.
    :param bootstrap: every member trains on its own resample of the data.
    :param keep: masks, one a parameter: where it is 0 nothing is trained (None: everything is).
    """
    draw = torch.Generator().manual_seed(seed)
    c, a = (torch.from_numpy(part).float() for part in data)
    n, members = len(c), stack.members
    pool = torch.randint(n, (members, n), generator=draw) if bootstrap else torch.arange(n).expand(members, n)
    parameters = list(stack.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    masks = keep(stack) if keep is not None else [None] * len(parameters)
    frozen = [p.detach().clone() for p in parameters]
    for step in range(steps):
        chosen = pool.gather(1, torch.randint(n, (members, 512), generator=draw))
        t = torch.rand((members, 512), generator=draw)
        z = torch.randn((members, 512, 2), generator=draw)
        x = (1 - t)[..., None] * z + t[..., None] * a[chosen]
        velocity, _ = stack(x, t, c[chosen])
        # A sum over members: each is trained as if it were alone.
        loss = (velocity - (a[chosen] - z)).square().mean((1, 2)).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            for parameter, mask, before in zip(parameters, masks, frozen, strict=True):
                if mask is not None:
                    parameter.copy_(torch.where(mask > 0, parameter, before))
        if progress is not None and (step + 1) % 100 == 0:
            progress(100)


def reinitialised(stack: Stack, layers: int, seed: int) -> Callable[[Stack], Sequence[Tensor | None]]:
    """Draw the last ``layers`` layers of every member anew; the masks that train those alone."""
    fresh = Stack(range(seed, seed + stack.members))
    first = DEPTH + 1 - layers
    with torch.no_grad():
        for i in range(first, DEPTH + 1):
            stack.weights[i].copy_(fresh.weights[i])
            stack.biases[i].copy_(fresh.biases[i])
    flags = [i >= first for i in range(DEPTH + 1)] * 2

    def masks(trained: Stack) -> Sequence[Tensor | None]:
        return [torch.full_like(p, float(flag)) for p, flag in zip(trained.parameters(), flags, strict=True)]

    return masks


def _initial(seed: int, layer: int, fan_in: int, fan_out: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1000 * seed + layer)
    bound = 1 / math.sqrt(fan_in)
    weight = (2 * torch.rand((fan_in, fan_out), generator=draw) - 1) * bound
    return weight, (2 * torch.rand((1, fan_out), generator=draw) - 1) * bound
