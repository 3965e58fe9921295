"""Episodes of the acting expert on the bed: no supervisor, no monitor, only whether the task gets done."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.experts.backbone import restore
from benchmarks.experts.heads import Heads
from vla_policy.instruction import embed
from vla_policy.manifest import ACTION_SCALE
from vla_policy.nets import Encoder
from vla_policy.observation import CAMERAS, Observation, initial_gripper, policy_image, proprioception
from vla_uq.flow.quadrature import cells, grid

if TYPE_CHECKING:
    from sim_node.bed import Bed

EXECUTED = 6
"""Actions of a chunk that are executed before the next inference."""


@dataclass(frozen=True)
class Episode:
    """One episode to play.

    :param heads: file of the experts, of which the first acts.
    :param said: what the policy is told, where that is not the task's own instruction.
    """

    backbone: Path
    heads: Path
    task: str
    seed: int
    said: str = ""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of it.

    :param context: (173,) of the first frame.
    """

    success: bool
    context: NDArray[np.float32]


def play(episode: Episode) -> Outcome:
    """Play one episode; runs in a process of its own, which keeps the bed and the networks."""
    torch.set_num_threads(1)
    bed, encoder = _bed(), _backbone(episode.backbone)
    acting = _heads(episode.heads, episode.heads.stat().st_mtime_ns).member(0)
    bed.reset(episode.task, episode.seed)
    text, draw = embed(episode.said or episode.task), torch.Generator().manual_seed(episode.seed)
    gripper: float | None = None
    first: NDArray[np.float32] | None = None
    while bed.step < bed.horizon:
        seen = bed.observe()
        gripper = initial_gripper(seen) if gripper is None else gripper
        context = _context(encoder, seen, text, gripper)
        first = context.numpy()[0] if first is None else first
        chunk = _sample(acting, context, draw)
        for action in chunk[:EXECUTED]:
            gripper = _step(bed, action)
            if bed.success():
                return Outcome(True, first)
    assert first is not None
    return Outcome(False, first)


@torch.no_grad()
def _context(encoder: Encoder, seen: Observation, text: NDArray[np.float32], gripper: float) -> torch.Tensor:
    images = [torch.from_numpy(policy_image(seen.images[name]))[None] for name in CAMERAS]
    proprio = torch.from_numpy(proprioception(seen, gripper))[None]
    context: torch.Tensor = encoder(*images, proprio, torch.from_numpy(text.copy())[None])
    return context


@torch.no_grad()
def _sample(acting: Heads, context: torch.Tensor, draw: torch.Generator) -> NDArray[np.float64]:
    """One chunk (16, 7) in [−1, 1], by ten Euler steps."""
    horizon, width = acting.shape
    x = torch.randn((1, 1, horizon * width), generator=draw)
    for t, dt in zip(grid(), cells(grid()), strict=True):
        x = x + float(dt) * acting(x, torch.full((1, 1), float(t)), context[None])[0]
    chunk = x.reshape(horizon, width).double().numpy() * np.asarray(ACTION_SCALE)
    return np.clip(chunk, -1, 1)


def _step(bed: Bed, action: NDArray[np.float64]) -> float:
    from sim_node.actions import target_of

    position, rotation, opening = target_of(action, *bed.pose())
    bed.step_pose(position, rotation, opening)
    return opening


@functools.lru_cache(maxsize=1)
def _bed() -> Bed:
    from sim_node.bed import Bed

    return Bed()


@functools.lru_cache(maxsize=1)
def _backbone(path: Path) -> Encoder:
    return restore(path)


@functools.lru_cache(maxsize=2)
def _heads(path: Path, changed: int) -> Heads:
    """Read again when the file has changed: rounds of training write to the same place."""
    return Heads.restore(path)
