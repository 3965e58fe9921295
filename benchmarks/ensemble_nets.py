"""Untrained policies of the sizes that are run on robots' own computers, in the folders that the back ends open.

What a network costs does not depend on what it has learnt. All members look through one encoder, or each through one
of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from safetensors.torch import save_file
from torch import Tensor, nn

from vla_policy.export import FLOW_STEPS, ROWS, SHARED, Graph, observed, write_graphs
from vla_policy.manifest import FlowManifest, Manifest, TorchManifest, sha256
from vla_policy.nets import ACTION, CONTEXT, HORIZON, Block, Encoder
from vla_policy.observation import CAMERAS

FREQUENCIES = 8
FLAT = HORIZON * ACTION
INPUTS = [*CAMERAS, "proprio", "text"]


def phases(t: Tensor) -> Tensor:
    """Flow time (N,) as sines and cosines (N, 16)."""
    phase = t[:, None] * 2.0 ** torch.arange(FREQUENCIES, device=t.device)
    return torch.cat([phase.sin(), phase.cos()], 1)


class Mlp(nn.Module):
    """1.07 million parameters: the whole chunk as one vector."""

    width = 320

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(FLAT, self.width), nn.Linear(self.width, FLAT)
        self.context = nn.Sequential(
            nn.Linear(CONTEXT + 2 * FREQUENCIES, self.width), nn.SiLU(), nn.Linear(self.width, self.width)
        )
        self.blocks = nn.ModuleList(Block(self.width) for _ in range(4))
        self.norm = nn.LayerNorm(self.width)

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 112), (N,), (N, 173) → velocity (N, 112), last hidden layer (N, 320)."""
        condition = self.context(torch.cat([context, phases(t)], 1))
        h = self.enter(x)
        for block in self.blocks:
            h = block(h, condition)
        last = self.norm(h)
        return self.leave(last), last


class Layer(nn.Module):
    """A layer of a transformer, normalised before."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.mix, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, h: Tensor) -> Tensor:
        parts = self.mix(self.norm1(h)).chunk(3, -1)
        q, k, v = (p.unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in parts)
        weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
        h = h + self.out((weights @ v).transpose(1, 2).flatten(2))
        return h + self.down(functional.gelu(self.up(self.norm2(h))))


class Transformer(nn.Module):
    """4.8 million parameters: a token for each action of the chunk, and one for the context."""

    width = 256

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(ACTION, self.width), nn.Linear(self.width, ACTION)
        self.context = nn.Linear(CONTEXT + 2 * FREQUENCIES, self.width)
        self.place = nn.Parameter(torch.randn(HORIZON, self.width) * 0.02)
        self.layers = nn.ModuleList(Layer(self.width, 4) for _ in range(6))
        self.norm = nn.LayerNorm(self.width)

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 112), (N,), (N, 173) → velocity (N, 112), mean of the last hidden layer (N, 256)."""
        condition = self.context(torch.cat([context, phases(t)], 1))[:, None]
        h = torch.cat([self.enter(x.unflatten(1, (HORIZON, ACTION))) + self.place, condition], 1)
        for layer in self.layers:
            h = layer(h)
        last = self.norm(h)[:, :HORIZON]
        return self.leave(last).flatten(1), last.mean(1)


class TorchMember(nn.Module):
    """An encoder and a head as the torch back end wants them."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = Encoder(), head

    def prefix(self, inputs: dict[str, Tensor]) -> Tensor:
        """See :class:`TorchBackend`."""
        return self.encoder(*(inputs[name] for name in INPUTS))

    def velocity(self, x: Tensor, t: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`TorchBackend`."""
        value, last = self.head(x.flatten(1), t, context)
        return value.view(x.shape), last


def mlp() -> TorchMember:
    """A member with the smaller head."""
    return TorchMember(Mlp())


def transformer() -> TorchMember:
    """A member with the larger head."""
    return TorchMember(Transformer())


NETS: dict[str, Callable[[], TorchMember]] = {"mlp_1m": mlp, "transformer_5m": transformer}


@dataclass(frozen=True)
class Policy:
    """An ensemble to be written.

    :param net: one of ``NETS``.
    :param shared: whether all members look through one encoder.
    """

    net: str
    members: int
    shared: bool = True

    @property
    def encoders(self) -> tuple[int, ...]:
        return (0,) * self.members if self.shared else tuple(range(self.members))


def parameters(net: str) -> int:
    """Parameters of a head."""
    return sum(value.numel() for value in NETS[net]().head.parameters())


def write(folder: Path, net: str, most: int) -> None:
    """The graphs and weights that all policies of a net are put together from."""
    noise = (torch.randn(ROWS, FLAT), torch.rand(ROWS), torch.randn(ROWS, CONTEXT))
    graphs = []
    for number in range(most):
        member = NETS[net]().eval()
        graphs.append(Graph(f"encoder_{number}.onnx", member.encoder, observed(), INPUTS, ["context"]))
        names = ["x", "t", "context"], ["velocity", "last_layer"]
        graphs.append(Graph(f"velocity_{number}.onnx", member.head, noise, *names))
        folder.mkdir(parents=True, exist_ok=True)
        save_file(member.state_dict(), folder / f"member_{number}.safetensors")
    write_graphs(graphs, folder)


def put_together(source: Path, policy: Policy, back_end: str) -> Path:
    """The folder of a policy, made of links to the files of :func:`write`."""
    kind = "shared" if policy.shared else "own"
    folder = source / f"{back_end}_{policy.members}_{kind}"
    folder.mkdir()
    heads = [f"velocity_{i}.onnx" for i in range(policy.members)]
    names = [*heads, *(f"encoder_{i}.onnx" for i in sorted(set(policy.encoders)))]
    if back_end == "torch":
        names = [f"member_{i}.safetensors" for i in range(policy.members)]
    for name in names:
        os.link(source / name, folder / name)
    fields: dict[str, Any] = {
        **SHARED,
        "members": policy.members,
        "horizon": HORIZON,
        "flow_steps": FLOW_STEPS,
        "last_layer": NETS[policy.net]().head.width,
        "encoders": policy.encoders,
        "files": {name: sha256(folder / name) for name in names},
    }
    manifest: Manifest = (
        TorchManifest(**fields, factory=f"{__name__}:{NETS[policy.net].__name__}")
        if back_end == "torch"
        else FlowManifest(**fields)
    )
    manifest.save(folder)
    return folder
