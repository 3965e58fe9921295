"""What fitted detectors share: reading what was learnt back from a file, and scaling features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.detectors.base import Tensors, take
from vla_uq.errors import InputError

Floats = NDArray[np.float64]
Stored = NDArray[np.float32]


def learnt(tensors: Tensors, name: str, shape: tuple[int | None, ...], where: str) -> Floats:
    """A tensor of a detector's state, in double.

    :param shape: None stands for any size of at least 1.
    :raises InputError: when it is missing, has another shape or holds a value that is not finite.
    """
    try:
        value = take(tensors, name, shape)
    except InputError as error:
        raise error.at(where) from error
    if not np.isfinite(value).all():
        raise InputError("is not finite", where=f"{where}: {name}")
    return value.astype(np.float64)


def below(tensors: Tensors, prefix: str) -> dict[str, NDArray[Any]]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


@contextmanager
def training_extra(detector: str, library: str) -> Iterator[None]:
    """Around the import of what only fitting needs.

    :raises InputError: when it is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise InputError(f"fitting needs {library}", where=detector, remedy="pip install vla_monitor[train]") from error


@dataclass(frozen=True, eq=False)
class Standardiser:
    """Centres and scales each feature.

    Computes in double what is stored in single precision, so that the same numbers come back from a file.

    :param mean: (D,).
    :param scale: (D,) positive.
    """

    mean: Floats
    scale: Floats

    @classmethod
    def fit(cls, episodes: Sequence[NDArray[np.floating[Any]]]) -> Standardiser:
        """To mean 0 and standard deviation 1 over all steps of the episodes, (T_i, D) each."""
        mean = mean_of(episodes)
        squares = sum(np.square(steps - mean).sum(axis=0) for steps in episodes)
        deviation = np.sqrt(squares / sum(map(len, episodes)))
        # A feature that never varied says nothing: leave it as it is instead of blowing it up.
        varied = deviation > 1e-6 * np.maximum(np.abs(mean), 1e-3)
        return cls.rounded(mean, np.where(varied, deviation, 1.0))

    @classmethod
    def rounded(cls, mean: Floats, scale: Floats) -> Standardiser:
        """With the values that a file will hold."""
        return cls(single(mean), single(scale))

    @classmethod
    def none(cls, width: int) -> Standardiser:
        """Leaves features as they are."""
        return cls(np.zeros(width), np.ones(width))

    @property
    def width(self) -> int:
        return len(self.mean)

    def __call__(self, points: NDArray[np.floating[Any]]) -> Floats:
        """Scaled points, (n, D)."""
        return (points - self.mean) / self.scale

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What a state keeps."""
        return {"mean": self.mean.astype(np.float32), "scale": self.scale.astype(np.float32)}

    @classmethod
    def from_tensors(cls, tensors: Tensors, where: str) -> Standardiser:
        """The inverse of :meth:`tensors`.

        :raises InputError: naming the tensor that is missing or wrong.
        """
        mean = learnt(tensors, "mean", (None,), where)
        scale = learnt(tensors, "scale", mean.shape, where)
        if not (scale > 0).all():
            raise InputError("is wrong", where=f"{where}: scale", expected="positive")
        return cls(mean, scale)


def mean_of(episodes: Sequence[NDArray[np.floating[Any]]]) -> Floats:
    """Mean (D,) over all steps of the episodes, (T_i, D) each; an episode at a time, for bounded memory."""
    return np.sum([steps.sum(axis=0, dtype=np.float64) for steps in episodes], axis=0) / sum(map(len, episodes))


def single(values: Floats) -> Floats:
    """Rounded to what single precision holds."""
    return values.astype(np.float32).astype(np.float64)


def positive(where: str, **values: float) -> None:
    """Check parameters.

    :raises InputError: naming the one that is not above 0.
    """
    for name, value in values.items():
        if not value > 0:
            raise InputError("is wrong", where=f"{where}: {name}", expected="above 0", found=value)
