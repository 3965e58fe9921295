"""Low-rank adapters on the toy's networks: W + A B / rank on every hidden layer, A drawn, B from zero."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.toy2d.nets import DEPTH, Stack
from benchmarks.toy2d.problem import Array


def train_adapters(
    base: Stack, data: tuple[Array, Array], *, steps: int, seed: int, rank: int, rate: float = 2e-3
) -> Stack:
    """Two members with adapters of their own, trained on their own resamples; merged into plain weights."""
    draw = torch.Generator().manual_seed(seed)
    c, a = (torch.from_numpy(part).float() for part in data)
    merged = base.select([0, 0])
    frozen = [w.detach().clone() for w in merged.weights]
    down = [nn.Parameter(0.01 * torch.randn((2, w.shape[1], rank), generator=draw)) for w in frozen[:DEPTH]]
    up = [nn.Parameter(torch.zeros((2, rank, w.shape[2]))) for w in frozen[:DEPTH]]
    pool = torch.randint(len(c), (2, len(c)), generator=draw)
    optimizer = torch.optim.AdamW([*down, *up], lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        chosen = pool.gather(1, torch.randint(len(c), (2, 512), generator=draw))
        t = torch.rand((2, 512), generator=draw)
        z = torch.randn((2, 512, 2), generator=draw)
        x = (1 - t)[..., None] * z + t[..., None] * a[chosen]
        weights: dict[str, Tensor] = {f"weights.{i}": w for i, w in enumerate(frozen)}
        weights |= {f"weights.{i}": frozen[i] + down[i] @ up[i] for i in range(DEPTH)}
        velocity, _ = torch.func.functional_call(merged, weights, (x, t, c[chosen]))
        loss = (velocity - (a[chosen] - z)).square().mean((1, 2)).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        for i in range(DEPTH):
            merged.weights[i].copy_(frozen[i] + down[i] @ up[i])
    return merged
