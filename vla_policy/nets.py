"""The networks: two small cameras conditioned on the instruction, and a flow-matching velocity head."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vla_policy.instruction import TEXT
from vla_policy.observation import PROPRIO

HORIZON, ACTION, GEOMETRY = 16, 7, 18
FEATURE, WIDTH = 96, 160
CONTEXT = FEATURE + GEOMETRY + PROPRIO + TEXT
_POINTS, _FREQUENCIES, _GRID = 32, 8, 16


class Camera(nn.Module):
    """64×64 RGB → 16×16 maps, modulated by the instruction (FiLM) → spatial-softmax key points and peak heights."""

    grid: Tensor

    def __init__(self, narrow: int = 32, wide: int = 64) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, narrow, 5, 2, 2), nn.Conv2d(narrow, wide, 3, 2, 1)
        self.conv3, self.conv4 = nn.Conv2d(wide, wide, 3, 1, 1), nn.Conv2d(wide, _POINTS, 3, 1, 1)
        self.film = nn.Linear(TEXT, 4 * wide)
        line = torch.linspace(-1, 1, _GRID)
        self.register_buffer("grid", torch.stack([line.repeat(_GRID), line.repeat_interleave(_GRID)], 1))

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        """(B, 3, 64, 64) in [−.5, .5], (B, 48) → (B, 96)."""
        gain1, bias1, gain2, bias2 = self.film(text)[:, :, None, None].chunk(4, 1)
        h = functional.relu(self.conv1(image))
        h = functional.relu(torch.addcmul(bias1, self.conv2(h), 1 + gain1))
        h = functional.relu(torch.addcmul(bias2, self.conv3(h), 1 + gain2))
        maps = self.conv4(h).contiguous().float().flatten(2)
        points = torch.matmul(maps.softmax(2), self.grid.to(maps.dtype))
        return torch.cat([points.float().flatten(1), maps.amax(2) * 0.1], 1)


class Encoder(nn.Module):
    """Observation → context: fused features, the goal geometry regressed from them, proprioception, instruction."""

    def __init__(self, hidden: int = 144) -> None:
        super().__init__()
        self.agentview, self.wrist = Camera(), Camera()
        self.fuse = nn.Sequential(
            nn.Linear(6 * _POINTS + PROPRIO + TEXT, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, FEATURE),
            nn.SiLU(),
        )
        self.locate = nn.Linear(FEATURE, GEOMETRY)

    def forward(self, agentview: Tensor, wrist: Tensor, proprio: Tensor, text: Tensor) -> Tensor:
        """(B, 3, 64, 64) in [0, 1] twice, (B, 11), (B, 48) → (B, 173)."""
        eyes = self.agentview(agentview - 0.5, text), self.wrist(wrist - 0.5, text)
        fused = self.fuse(torch.cat([*eyes, proprio, text], 1))
        return torch.cat([fused, self.locate(fused), proprio, text], 1)


def geometry_of(context: Tensor) -> Tensor:
    """The regressed goal geometry inside a context: (B, 173) → (B, 18)."""
    return context[:, FEATURE : FEATURE + GEOMETRY]


class Block(nn.Module):
    """A residual layer that reads a condition."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        return h + self.down(functional.silu(self.up(functional.silu(self.norm(h) + c))))


class Velocity(nn.Module):
    """v(x_t, t | context) of the flow from noise (t = 0) to the normalised chunk (t = 1)."""

    frequencies: Tensor

    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2.0 ** torch.arange(_FREQUENCIES) * math.pi / 2)
        self.enter = nn.Linear(HORIZON * ACTION, WIDTH)
        self.context = nn.Sequential(nn.Linear(CONTEXT + 2 * _FREQUENCIES, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        self.blocks = nn.ModuleList(Block(WIDTH) for _ in range(depth))
        self.norm, self.leave = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, HORIZON * ACTION)

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 112), (N,), (N, 173) → velocity (N, 112) and the last hidden layer (N, 160) it is linear in."""
        phase = t[:, None] * self.frequencies
        c = self.context(torch.cat([context, phase.sin(), phase.cos()], 1))
        h = self.enter(x)
        for block in self.blocks:
            h = block(h, c)
        last = self.norm(h)
        return self.leave(last), last


class Member(nn.Module):
    """One member of the ensemble: an encoder and a velocity head of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.velocity = Encoder(), Velocity()
