"""Ensembles that share an encoder: heads on the shipped policy's first encoder, new altogether or in their last layers.

They are trained on what member 0 was trained on: the same demonstrations, exposure and proprioceptive noise, seen
through its frozen encoder. Contexts are made once, a few noisy copies of each frame.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn

from benchmarks.experts.contexts import Demonstrations
from benchmarks.experts.heads import Heads, Progress, Training, train
from vla_policy.nets import Encoder, Velocity
from vla_policy.observation import CAMERAS
from vla_policy.training import Recipe, augment, load

COPIES = 2
LAST_LAYERS = ("leave", "blocks.2", "blocks.1")
"""Of a head, from its end."""


@dataclass(frozen=True)
class Family:
    """Heads beside head 0.

    :param fresh: last layers that are drawn anew on head 0's frozen others; None for heads of their own.
    """

    name: str
    heads: int
    fresh: int | None = None


FAMILIES = (
    Family("shared_encoder", 3),
    Family("new_last_layer", 1, 1),
    Family("new_last_2_layers", 1, 2),
    Family("new_last_3_layers", 1, 3),
)


def shipped(policy: Path, member: int) -> tuple[Encoder, Velocity]:
    """The networks of an exported member, whose graphs keep the names of the parameters."""
    encoder, velocity = Encoder(), Velocity()
    _copy(encoder, policy / f"encoder_{member}.onnx")
    _copy(velocity, policy / f"velocity_{member}.onnx")
    return encoder.eval(), velocity.eval()


def _copy(net: nn.Module, path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    values = {value.name: numpy_helper.to_array(value) for value in onnx.load(path).graph.initializer}
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.copy_(torch.from_numpy(values[name].copy()))


def alone(velocity: Velocity) -> Heads:
    """An ensemble of one."""
    heads = Heads([])
    heads.nets.append(velocity)
    return heads


@torch.no_grad()
def contexts(encoder: Encoder, source: Path, folder: Path) -> list[Demonstrations]:
    """The noisy copies of one task's demonstrations as the encoder sees them; kept in ``folder``."""
    path = folder / source.name
    if not path.exists():
        data = load([source])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(zlib.crc32(source.name.encode()))
            copies = torch.stack([_encoded(encoder, data) for _ in range(COPIES)])
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        save_file({"context": copies.numpy(), "chunk": data["chunk"].numpy()}, partial)
        partial.rename(path)
    columns = load_file(path)
    chunk = columns["chunk"]
    frames = np.zeros(len(chunk), np.int64)
    return [Demonstrations(source.stem, context, chunk, frames) for context in columns["context"]]


def _encoded(encoder: Encoder, data: dict[str, Tensor]) -> Tensor:
    parts = []
    for rows in torch.arange(len(data["chunk"])).split(256):
        images = [augment(data[name][rows]) for name in CAMERAS]
        proprio = data["proprio"][rows]
        proprio = proprio + Recipe.proprio_noise * torch.randn_like(proprio)
        parts.append(encoder(*images, proprio, data["text"][rows]))
    return torch.cat(parts)


def heads_of(
    family: Family,
    first: Velocity,
    data: Sequence[Demonstrations],
    training: Training,
    folder: Path,
    progress: Progress | None = None,
) -> Heads:
    """The trained heads of a family, without head 0; kept in ``folder``."""
    path = folder / f"{family.name}.safetensors"
    if not path.exists():
        seeds = [zlib.crc32(f"{family.name} {i}".encode()) for i in range(family.heads)]
        start = Heads(seeds)
        if family.fresh is not None:
            start.nets = nn.ModuleList(_reborn(first, net, family.fresh) for net in start.nets)
        train(start, [(1.0, data)], training, FAMILIES.index(family), progress).save(path)
    return Heads.restore(path)


def _reborn(first: Velocity, drawn: nn.Module, layers: int) -> Velocity:
    """Head 0, frozen, but for its last layers, which are those of ``drawn`` and will be trained."""
    head = copy.deepcopy(first).requires_grad_(False)
    for name in LAST_LAYERS[:layers]:
        layer = head.get_submodule(name)
        layer.load_state_dict(drawn.get_submodule(name).state_dict())
        layer.requires_grad_(True)
    return head


def fresh_parameters(layers: int) -> int:
    """Numbers in a head's last layers."""
    head = Velocity()
    return sum(p.numel() for name in LAST_LAYERS[:layers] for p in head.get_submodule(name).parameters())
