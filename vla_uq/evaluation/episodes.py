"""Episodes of a store as an evaluation uses them: opened once, each tensor read once and dropped together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vla_uq.evaluation.protocol import CutOffs
from vla_uq.evaluation.splits import Split, task_key
from vla_uq.rollouts.store import Rollout, RolloutStore


class Remembered(Mapping[str, NDArray[Any]]):
    """Tensors that are read from disk once, as long as this object lives."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        self._tensors, self._read = tensors, dict[str, NDArray[Any]]()

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._read:
            self._read[name] = self._tensors[name]
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def forget(self, but: Sequence[str]) -> None:
        """Drop all but the named tensors."""
        self._read = {name: value for name, value in self._read.items() if name in but}


def inferences(rollout: Rollout) -> int:
    """T of a rollout, without reading a tensor that lies on disk."""
    tensors = rollout.tensors
    shapes = getattr(tensors, "shapes", None)
    return int(next(iter(shapes.values()))[0]) if shapes else len(next(iter(tensors.values())))


def open_store(folder: Path) -> Mapping[str, Rollout]:
    """All rollouts of a store by their id; opened once by a process that evaluates many detectors, while no file
    comes or goes.
    """
    return _opened(folder, folder.stat().st_mtime_ns if folder.is_dir() else 0)


@lru_cache(maxsize=2)
def _opened(folder: Path, changed: int) -> Mapping[str, Rollout]:
    return {rollout.meta.episode_id: rollout for rollout in RolloutStore(folder)}


class Material:
    """The episodes of a split's parts.

    :raises InputError: when the store lacks an episode of the manifest.
    """

    def __init__(self, store: Mapping[str, Rollout], split: Split) -> None:
        split.check(store.keys())
        self.split = split
        wanted = {name for names in split.parts.values() for name in names}
        self.lengths = {name: inferences(store[name]) for name in sorted(wanted)}
        self._tensors = {name: Remembered(store[name].tensors) for name in self.lengths}
        self._rollouts = {name: Rollout(store[name].meta, self._tensors[name]) for name in self.lengths}

    def part(self, name: str) -> list[Rollout]:
        """The rollouts of one part, in the manifest's order."""
        return [self._rollouts[episode] for episode in self.split.parts[name]]

    def tensors(self) -> set[str]:
        """The names of the tensors that every episode has."""
        return set.intersection(*(set(rollout.tensors) for rollout in self._rollouts.values()))

    def forget(self, but: Sequence[str]) -> None:
        """Drop from memory all tensors but the named ones."""
        for tensors in self._tensors.values():
            tensors.forget(but)

    def cut_offs(self, *parts: str) -> CutOffs:
        """The shortest lengths in the parts named; of all parts when none is."""
        names = [name for part in parts or self.split.parts for name in self.split.parts[part]]
        return CutOffs.shortest((task_key(self._rollouts[n].meta), self.lengths[n]) for n in names)
