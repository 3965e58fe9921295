"""Demonstrations as the experts see them: the frozen backbone's context of each frame, and the chunk that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from vla_policy.nets import Encoder
from vla_policy.observation import CAMERAS
from vla_policy.training import load

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """Of one task.

    :param context: (n, 173) of each frame.
    :param chunk: (n, 112) normalised.
    :param episode: (n,) which demonstration a frame is of, counted from 0.
    """

    task: str
    context: Floats
    chunk: Floats
    episode: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Demonstrations."""
        return int(self.episode[-1]) + 1

    def first_frames(self) -> Floats:
        """Context of the first frame of each demonstration, (count, 173)."""
        starts = np.flatnonzero(np.diff(self.episode, prepend=-1))
        frames: Floats = self.context[starts]
        return frames

    def of(self, episodes: Sequence[int]) -> Demonstrations:
        """Some demonstrations, each as often as it is named."""
        rows = np.concatenate([np.flatnonzero(self.episode == e) for e in episodes])
        return Demonstrations(self.task, self.context[rows], self.chunk[rows], self.episode[rows])


@torch.no_grad()
def encode(encoder: Encoder, source: Path, folder: Path) -> Demonstrations:
    """The demonstrations of one task's file; kept in ``folder``, and read from there the next time."""
    with safe_open(source, "np") as file:
        task, stride = file.metadata()["instruction"], int(file.metadata()["stride"])
        lengths = file.get_tensor("length")
    path = folder / source.name
    if not path.exists():
        data = load([source])
        parts = []
        for rows in torch.arange(len(data["chunk"])).split(256):
            images = [data[name][rows].float() / 255 for name in CAMERAS]
            parts.append(encoder(*images, data["proprio"][rows], data["text"][rows]))
        episode = np.repeat(np.arange(len(lengths)), -(-lengths // stride))
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        columns = {"context": torch.cat(parts).numpy(), "chunk": data["chunk"].numpy(), "episode": episode}
        save_file(columns, partial)
        partial.rename(path)
    columns = load_file(path)
    return Demonstrations(task, columns["context"], columns["chunk"], columns["episode"])
