"""Trains one member by rectified flow; a fixed number of iterations, so that a run can be repeated."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as functional
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vla_policy.instruction import embed
from vla_policy.manifest import ACTION_SCALE, OPEN_WIDTH
from vla_policy.nets import ACTION, HORIZON, Member, geometry_of
from vla_policy.observation import CAMERAS
from vla_uq.errors import InputError

Progress = Callable[[int, Mapping[str, float]], None]
Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class Schedule:
    """What every training has: a fixed number of iterations, AdamW with a cosine, and an average of the weights.

    :param warm_up: iterations in which the learning rate rises.
    :param average: decay of the running average that is kept in the end.
    :param proprio_noise: standard deviation of what is added to the proprioception.
    """

    iterations: int = 5500
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    warm_up: int = 200
    average: float = 0.999
    proprio_noise: float = 0.005


@dataclass(frozen=True)
class Recipe(Schedule):
    """How a member is trained; the defaults are those of the shipped weights.

    :param draws: (time, noise) pairs for each encoded observation.
    """

    draws: int = 4
    geometry_weight: float = 5.0


def load(paths: Sequence[Path]) -> dict[str, Tensor]:
    """Chunk starts at rendered frames of all demonstrations.

    Tensors over samples: ``chunk`` (112, normalised), ``proprio`` (11), ``geometry`` (18), ``text`` (48), and each
    camera (3, 64, 64) uint8.
    """
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("chunk", "proprio", "geometry", "text", *CAMERAS)}
    for path in paths:
        with safe_open(path, "np") as file:
            stride, instruction = int(file.metadata()["stride"]), file.metadata()["instruction"]
            data = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        frame = 0
        for end, length in zip(np.cumsum(data["length"]), data["length"], strict=True):
            starts = np.arange(0, length, stride)
            rows = slice(end - length, end)
            columns["chunk"].append(_chunks(data["action"][rows], starts))
            for name in ("proprio", "geometry"):
                columns[name].append(data[name][rows][starts])
            for name in CAMERAS:
                columns[name].append(data[name][frame : frame + len(starts)].transpose(0, 3, 1, 2))
            columns["text"].append(np.repeat(embed(instruction)[None], len(starts), 0))
            frame += len(starts)
    return {name: torch.from_numpy(np.concatenate(parts)) for name, parts in columns.items()}


def open_width_of(paths: Sequence[Path]) -> float:
    """Distance of the fingers (m) beyond which they hold nothing, of the robot that gave the demonstrations.

    :raises InputError: when they are of several robots.
    """
    found = set()
    for path in paths:
        with safe_open(path, "np") as file:
            found.add(float(file.metadata().get("open_width", OPEN_WIDTH)))
    if len(found) > 1:
        raise InputError("demonstrations of several robots", where="open_width", found=sorted(found))
    return found.pop()


def _chunks(actions: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The next 16 actions from each start; past the end the arm rests and the gripper keeps its last command."""
    rest = actions[-1] * np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
    padded = np.concatenate([actions, np.repeat(rest[None], HORIZON, 0)])
    chunks = padded[starts[:, None] + np.arange(HORIZON)] / np.asarray(ACTION_SCALE, np.float32)
    return chunks.reshape(len(starts), HORIZON * ACTION).astype(np.float32)


def augment(images: Tensor) -> Tensor:
    """Exposure ±15 %, channel balance ±5 %, offset ±3 %, each image its own; no shifts, for place is the signal."""
    n = len(images)
    gain = (1 + 0.15 * torch.randn(n, 1, 1, 1)) * (1 + 0.05 * torch.randn(n, 3, 1, 1)) / 255
    bright = torch.addcmul(0.03 * torch.randn(n, 1, 1, 1), images.float(), gain)
    return bright.clamp_(0, 1).contiguous(memory_format=torch.channels_last)


def train(data: Mapping[str, Tensor], seed: int, recipe: Recipe, progress: Progress) -> Member:
    """Train one member from its own initialisation, order and noise.

    :param progress: as :func:`optimise` calls it.
    """
    torch.set_num_threads(1)  # a second thread is slower at this size
    torch.manual_seed(seed)
    net = Member().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return optimise(net, lambda: _losses(net, data, recipe), recipe, progress)


def optimise(net: Net, losses: Callable[[], Mapping[str, Tensor]], recipe: Schedule, progress: Progress) -> Net:
    """Minimise the sum of losses over a network's parameters.

    :param losses: makes a fresh batch and gives its losses by name.
    :param progress: called with the iteration and the losses now and then.
    :returns: the running average of the network.
    """
    average = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    for iteration in range(recipe.iterations):
        cosine = 0.5 * (1 + math.cos(math.pi * iteration / recipe.iterations))
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * min(1.0, (iteration + 1) / recipe.warm_up) * cosine
        found = losses()
        optimiser.zero_grad()
        torch.stack(list(found.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        decay = min(recipe.average, (iteration + 1) / (iteration + 10))
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), net.parameters(), strict=True):
                slow.lerp_(fast, 1 - decay)
        if iteration % 100 == 99:
            progress(iteration + 1, {name: float(loss.detach()) for name, loss in found.items()})
    return average.eval()


def _losses(net: Member, data: Mapping[str, Tensor], recipe: Recipe) -> dict[str, Tensor]:
    """Flow-matching loss and the weighted loss of the regressed goal geometry on a fresh batch."""
    rows = torch.randint(0, len(data["chunk"]), (recipe.batch,))
    proprio = data["proprio"][rows]
    proprio = proprio + recipe.proprio_noise * torch.randn_like(proprio)
    images = [augment(data[name][rows]) for name in CAMERAS]
    with torch.autocast("cpu", torch.bfloat16):
        context = net.encoder(*images, proprio, data["text"][rows]).float()
    chunk = data["chunk"][rows].repeat(recipe.draws, 1)
    noise, t = torch.randn_like(chunk), torch.rand(len(chunk))
    with torch.autocast("cpu", torch.bfloat16):
        velocity, _ = net.velocity((1 - t[:, None]) * noise + t[:, None] * chunk, t, context.repeat(recipe.draws, 1))
    flow = functional.mse_loss(velocity.float(), chunk - noise)
    geometry = functional.smooth_l1_loss(geometry_of(context), data["geometry"][rows], beta=0.1)
    return {"flow": flow, "geometry": recipe.geometry_weight * geometry}


def save(member: Member, path: Path, seed: int) -> None:
    """Write weights as safetensors."""
    tensors = {name: value.contiguous() for name, value in member.state_dict().items()}
    save_file(tensors, path, {"seed": str(seed)})


def restore(path: Path) -> Member:
    """Read weights written by ``save``.

    :raises InputError: when the file is not a member's weights.
    """
    member = Member()
    try:
        member.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError("not a member's weights", where=str(path), found=str(error).splitlines()[0]) from error
    return member.eval()
