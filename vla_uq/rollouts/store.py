"""The rollout store: a folder with one safetensors file a rollout, tensors read when they are asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vla_uq import artefact
from vla_uq.errors import InputError

KIND = "rollout"
SCHEMA = 1
NOMINAL = "none"
"""The value of ``RolloutMeta.disturbance`` that stands for an undisturbed episode."""


@dataclass(frozen=True)
class RolloutMeta:
    """What is known of an episode besides its tensors.

    :param episode_id: unique in a store; letters, digits, ``.``, ``_`` and ``-``.
    :param task: the instruction.
    :param success: None where nobody has said.
    :param steps: control steps that were executed.
    :param halted: the supervisor stopped the arm in it, so it is truncated.
    :param mode: ``shadow`` (scored and recorded, nothing halted) or ``guard``.
    :param execute_steps: actions executed between two inferences; 0 where it is not known.
    :param step_duration: seconds from one action to the next; 0 where it is not known.
    :param extra: JSON values of the writer's own.
    """

    episode_id: str
    task: str
    seed: int
    disturbance: str
    success: bool | None
    steps: int
    policy_fingerprint: str
    halted: bool = False
    mode: str = "shadow"
    execute_steps: int = 0
    step_duration: float = 0.0
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def nominal(self) -> bool:
        return self.disturbance == NOMINAL

    @property
    def inference_period(self) -> float:
        """Seconds from one inference to the next; 0 where it is not known."""
        return self.execute_steps * self.step_duration

    @classmethod
    def from_document(cls, document: Mapping[str, Any], where: str) -> RolloutMeta:
        """Check and read what :func:`write` wrote.

        :raises InputError: naming the field that is missing or wrong.
        """
        success = None if document.get("success", 0) is None else artefact.field(document, "success", bool, where)
        mode = artefact.field(document, "mode", str, where)
        if mode not in ("shadow", "guard"):
            raise InputError("unknown mode", where=f"{where}: mode", expected="shadow or guard", found=mode)
        return cls(
            episode_id=artefact.field(document, "episode_id", str, where),
            task=artefact.field(document, "task", str, where),
            seed=artefact.field(document, "seed", int, where),
            disturbance=artefact.field(document, "disturbance", str, where),
            success=success,
            steps=artefact.field(document, "steps", int, where),
            policy_fingerprint=artefact.field(document, "policy_fingerprint", str, where),
            halted=artefact.field(document, "halted", bool, where),
            mode=mode,
            # Stores written before these two existed lack them.
            execute_steps=artefact.field({"execute_steps": 0, **document}, "execute_steps", int, where),
            step_duration=float(artefact.field({"step_duration": 0.0, **document}, "step_duration", float, where)),
            extra=artefact.field(document, "extra", dict, where),
        )


@dataclass(frozen=True, eq=False)
class Rollout:
    """An episode: its metadata and, for each tensor of the policy's trace, the values of its T inferences.

    :param tensors: name to (T, ...), the same T >= 1 for all; read from disk on access when opened from a file.
    """

    meta: RolloutMeta
    tensors: Mapping[str, NDArray[Any]]

    def tensor(self, name: str) -> NDArray[Any]:
        """One tensor, (T, ...).

        :raises InputError: when the rollout has none of that name.
        """
        if name not in self.tensors:
            raise InputError(
                "rollout lacks a tensor",
                where=f"{self.meta.episode_id}: {name}",
                expected=name,
                found=", ".join(sorted(self.tensors)) or "none",
            )
        return self.tensors[name]


class LazyTensors(Mapping[str, NDArray[Any]]):
    """The tensors of a file, each read when it is asked for; holds no open file, so thousands are cheap."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shapes = artefact.tensor_shapes(path)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._shapes:
            raise KeyError(name)
        return artefact.read_tensors(self._path, [name])[name]

    def __contains__(self, name: object) -> bool:
        return name in self._shapes

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self._shapes


def write(path: Path | str, rollout: Rollout) -> None:
    """Write one rollout atomically.

    :raises InputError: when there are no tensors, their first axes differ, or the file cannot be written.
    """
    path = Path(path)
    _check_lengths({name: value.shape for name, value in rollout.tensors.items()}, path)
    document = asdict(rollout.meta)
    RolloutMeta.from_document(document, str(path))
    artefact.write(path, KIND, SCHEMA, document, rollout.tensors)


def open_rollout(path: Path | str) -> Rollout:
    """Open one rollout; tensors stay on disk until they are asked for.

    :raises InputError: when the file is missing, broken or of another schema, naming file and field.
    """
    path = Path(path)
    meta = read_meta(path)
    tensors = LazyTensors(path)
    _check_lengths(tensors.shapes, path)
    return Rollout(meta, tensors)


def read_meta(path: Path | str) -> RolloutMeta:
    """Read the metadata of one rollout alone.

    :raises InputError: as :func:`open_rollout`.
    """
    return RolloutMeta.from_document(artefact.read_document(Path(path), KIND, SCHEMA), str(path))


class RolloutStore:
    """A folder of rollouts, in the order of their file names."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def path(self, episode_id: str) -> Path:
        """Where an episode's file is or would be.

        :raises InputError: when the id cannot be part of a file name.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", episode_id):
            raise InputError(
                "not usable as a file name", where="episode_id", expected="letters, digits, . _ -", found=episode_id
            )
        return self.folder / f"rollout-{episode_id}.safetensors"

    def add(self, rollout: Rollout) -> Path:
        """Write a rollout, in place of one of the same id, and return its path."""
        path = self.path(rollout.meta.episode_id)
        write(path, rollout)
        return path

    def __contains__(self, episode_id: str) -> bool:
        return self.path(episode_id).exists()

    def __len__(self) -> int:
        return len(self._paths())

    def __iter__(self) -> Iterator[Rollout]:
        return map(open_rollout, self._paths())

    def metas(self) -> Iterator[RolloutMeta]:
        """The metadata of all rollouts; no tensor is read."""
        return map(read_meta, self._paths())

    def select(self, where: Callable[[RolloutMeta], bool]) -> list[Rollout]:
        """The rollouts whose metadata pass ``where``; no tensor is read.

        :raises InputError: for the first broken file: a store that lost part of itself is not silently smaller.
        """
        return [open_rollout(path) for path in self._paths() if where(read_meta(path))]

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("rollout-*.safetensors"))


def _check_lengths(shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    lengths = {name: shape[0] if shape else 0 for name, shape in shapes.items()}
    if not lengths or len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise InputError(
            "tensors do not have one value an inference",
            where=str(path),
            expected="the same first axis, at least 1",
            found=", ".join(f"{name} {n}" for name, n in lengths.items()) or "no tensors",
        )
