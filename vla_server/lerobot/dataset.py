"""Demonstrations as a data set that LeRobot's own trainer reads, written by LeRobot itself."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_server.lerobot.environment import prepare
from vla_uq.errors import InputError
from vla_uq.wire import Array

IMAGES, STATE, ACTION = "observation.images", "observation.state", "action"
INTERVENTION, LABEL = "intervention", "label"


class Moment(Protocol):
    """One frame."""

    @property
    def images(self) -> Mapping[str, NDArray[np.uint8]]: ...

    @property
    def state(self) -> Array: ...

    @property
    def action(self) -> Array: ...

    @property
    def intervention(self) -> bool: ...


class DatasetWriter:
    """A new data set: pictures within the tables, no videos, so that every pixel is the recorded one.

    Used as a context: it gets its name when that ends well, and nothing is left of it otherwise.

    :param folder: that is not there yet.
    :param rate: frames a second.
    :raises InputError: when the folder exists, or LeRobot cannot be used.
    """

    def __init__(self, folder: Path, rate: int) -> None:
        if folder.exists():
            raise InputError("is there already", where=str(folder), remedy="name a folder that is not")
        prepare()
        self._folder, self._rate = folder, rate
        self._dataset: Any = None
        self._names: tuple[str, ...] = ()

    def __enter__(self) -> DatasetWriter:
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = Path(tempfile.mkdtemp(prefix=f".{self._folder.name}.", dir=self._folder.parent))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if self._dataset is not None:
                self._dataset.finalize()
                if kind is None:
                    (self._temporary / "data").replace(self._folder)
        finally:
            with suppress(OSError):
                shutil.rmtree(self._temporary)

    def add(self, task: str, label: int, names: Sequence[str], frames: Iterable[Moment]) -> tuple[int, int]:
        """Add an episode.

        :param label: of its end, ``EpisodeEvent``'s; the same in all its frames.
        :param names: of the action's columns.
        :returns: how many frames it has, and how many of them are a human's; one without frames is none.
        :raises InputError: when its sizes are not those of the episodes before it.
        """
        count = human = 0
        for frame in frames:
            if self._dataset is None:
                self._dataset, self._names = self._create(names, frame), tuple(names)
            if tuple(names) != self._names:
                raise InputError("episodes differ", where=ACTION, expected=self._names, found=tuple(names))
            row: dict[str, Any] = {f"{IMAGES}.{camera}": image for camera, image in frame.images.items()}
            row |= {STATE: frame.state, ACTION: frame.action, "task": task}
            row |= {INTERVENTION: np.array([frame.intervention]), LABEL: np.array([label], np.int64)}
            try:
                self._dataset.add_frame(row)
            except ValueError as error:
                raise InputError("episodes differ", where=task, found=" ".join(str(error).split())) from error
            count, human = count + 1, human + frame.intervention
        if count:
            self._dataset.save_episode()
        return count, human

    def _create(self, names: Sequence[str], frame: Moment) -> Any:
        from lerobot.datasets.lerobot_dataset import LeRobotDataset

        axes = ["height", "width", "channels"]
        features: dict[str, Any] = {
            f"{IMAGES}.{camera}": {"dtype": "image", "shape": image.shape, "names": axes}
            for camera, image in frame.images.items()
        }
        features[STATE] = {"dtype": "float32", "shape": frame.state.shape, "names": None}
        features[ACTION] = {"dtype": "float32", "shape": frame.action.shape, "names": list(names)}
        features[INTERVENTION] = {"dtype": "bool", "shape": (1,), "names": None}
        features[LABEL] = {"dtype": "int64", "shape": (1,), "names": None}
        return LeRobotDataset.create(
            repo_id=f"local/{self._folder.name}",
            root=self._temporary / "data",
            fps=self._rate,
            features=features,
            use_videos=False,
        )
