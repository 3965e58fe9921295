"""The frozen backbone: images and instruction → context, trained on where things are and on no action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from vla_policy.nets import Encoder, geometry_of
from vla_policy.observation import CAMERAS
from vla_policy.training import Progress, Schedule, augment, load, optimise


def train(paths: Sequence[Path], out: Path, schedule: Schedule, seed: int, progress: Progress) -> Encoder:
    """Train on all frames of some demonstrations and write the weights."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    data = load(paths)
    net = Encoder().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    encoder: Encoder = optimise(net, lambda: _losses(net, data, schedule), schedule, progress)
    _write(encoder, out)
    return encoder


def take_shipped(out: Path) -> None:
    """Write the encoder of the shipped policy's acting member instead: for a look, for it has seen actions."""
    import onnx

    from vla_cli.shipped import policy_folder

    graph = onnx.load(policy_folder(None) / "encoder_0.onnx").graph
    weights = {one.name: torch.from_numpy(onnx.numpy_helper.to_array(one).copy()) for one in graph.initializer}
    encoder = Encoder()
    own = encoder.state_dict()
    encoder.load_state_dict({name: weights.get(name, value) for name, value in own.items()})
    _write(encoder, out)


def restore(path: Path) -> Encoder:
    """Read what :func:`train` wrote."""
    encoder = Encoder()
    encoder.load_state_dict(load_file(path))
    return encoder.eval()


def _write(encoder: Encoder, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(".part")
    save_file({name: value.contiguous() for name, value in encoder.state_dict().items()}, partial)
    partial.replace(out)


def _losses(net: Encoder, data: Mapping[str, Tensor], schedule: Schedule) -> dict[str, Tensor]:
    rows = torch.randint(0, len(data["geometry"]), (schedule.batch,))
    proprio = data["proprio"][rows]
    proprio = proprio + schedule.proprio_noise * torch.randn_like(proprio)
    images = [augment(data[name][rows]) for name in CAMERAS]
    with torch.autocast("cpu", torch.bfloat16):
        context = net(*images, proprio, data["text"][rows]).float()
    return {"geometry": functional.smooth_l1_loss(geometry_of(context), data["geometry"][rows], beta=0.1)}
