"""Episodes of the acting expert on a bed: no supervisor, no monitor, only whether the task gets done."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.experts.backbone import restore
from benchmarks.experts.heads import Heads
from vla_policy.instruction import embed
from vla_policy.manifest import ACTION_SCALE
from vla_policy.nets import Encoder
from vla_policy.observation import CAMERAS, initial_gripper, policy_image, proprioception
from vla_uq.flow.quadrature import cells, grid

if TYPE_CHECKING:
    from sim_node.bed import Bed

EXECUTED = 6
"""Actions of a chunk that are executed before the next inference."""


@dataclass(frozen=True)
class Episode:
    """One episode to play.

    :param backbone: file of the frozen backbone; ``None`` on a bed that tells where things are.
    :param heads: file of the experts, of which the first acts.
    :param said: what the policy is told, where that is not the task's own instruction.
    """

    backbone: Path | None
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


class Room(Protocol):
    """A bed, and what the experts get to see of it; one episode after the other."""

    def enter(self, task: str, seed: int, said: str) -> None:
        """Begin an episode; ``said`` is empty where the policy is told the task's own instruction."""

    @property
    def left(self) -> int:
        """Control steps until the time is up."""

    def context(self) -> NDArray[np.float32]:
        """What the experts see now, (173,)."""

    def act(self, action: NDArray[np.float64]) -> bool:
        """Execute one action (7,) in [−1, 1]; returns whether the task is done."""


class Tabletop:
    """The embedded bed, seen by the frozen backbone."""

    def __init__(self, bed: Bed, encoder: Encoder) -> None:
        self._bed, self._encoder = bed, encoder
        self._gripper: float | None = None

    def enter(self, task: str, seed: int, said: str) -> None:
        self._bed.reset(task, seed)
        self._text, self._gripper = embed(said or task).copy(), None

    @property
    def left(self) -> int:
        return self._bed.horizon - self._bed.step

    @torch.no_grad()
    def context(self) -> NDArray[np.float32]:
        seen = self._bed.observe()
        self._gripper = initial_gripper(seen) if self._gripper is None else self._gripper
        images = [torch.from_numpy(policy_image(seen.images[name]))[None] for name in CAMERAS]
        proprio, text = (torch.from_numpy(x)[None] for x in (proprioception(seen, self._gripper), self._text))
        found: NDArray[np.float32] = self._encoder(*images, proprio, text)[0].numpy()
        return found

    def act(self, action: NDArray[np.float64]) -> bool:
        from sim_node.actions import target_of

        position, rotation, self._gripper = target_of(action, *self._bed.pose())
        self._bed.step_pose(position, rotation, self._gripper)
        return self._bed.success()


def play(episode: Episode) -> Outcome:
    """Play one episode on the table-top; runs in a process of its own, which keeps the bed and the networks."""
    assert episode.backbone is not None
    return play_in(Tabletop(_bed(), _backbone(episode.backbone)), episode)


def play_in(room: Room, episode: Episode) -> Outcome:
    """Play one episode in a room that may have seen others."""
    torch.set_num_threads(1)
    acting = _heads(episode.heads, episode.heads.stat().st_mtime_ns).member(0)
    room.enter(episode.task, episode.seed, episode.said)
    draw = torch.Generator().manual_seed(episode.seed)
    first = seen = room.context()
    while True:
        chunk = _sample(acting, seen, draw)
        if any(room.act(action) for action in chunk[: min(EXECUTED, room.left)]):
            return Outcome(True, first)
        if room.left <= 0:
            return Outcome(False, first)
        seen = room.context()


@torch.no_grad()
def _sample(acting: Heads, context: NDArray[np.float32], draw: torch.Generator) -> NDArray[np.float64]:
    """One chunk (16, 7) in [−1, 1], by ten Euler steps."""
    horizon, width = acting.shape
    c = torch.from_numpy(context)[None, None]
    x = torch.randn((1, 1, horizon * width), generator=draw)
    for t, dt in zip(grid(), cells(grid()), strict=True):
        x = x + float(dt) * acting(x, torch.full((1, 1), float(t)), c)[0]
    chunk = x.reshape(horizon, width).double().numpy() * np.asarray(ACTION_SCALE)
    return np.clip(chunk, -1, 1)


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
