"""How language models write actions: which ids of their vocabulary are actions, and what numbers they stand for.

Two schemes, as data: uniform bins (OpenVLA, arXiv 2406.09246, section 3.2), one token a number, and FAST (arXiv
2501.09747), which writes a chunk's rounded cosine transform as text and compresses that, so that the number of tokens
varies. Normalised actions reach from -1 to 1, the 1st and the 99th percentile of the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_uq.errors import InputError

Ids = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class BinVocabulary:
    """The last ids of the vocabulary, downwards: bin b, from 1, is ``size - b``.

    OpenVLA's bins have edges at ``linspace(-1, 1, bins)``, which is one bin less than there are ids: the two lowest ids
    share the last one.

    :param size: of the text vocabulary, without columns that pad the logits.
    """

    name: ClassVar[str] = "openvla"
    size: int = 32_000
    bins: int = 256

    def __post_init__(self) -> None:
        if not 2 <= self.bins <= self.size:
            raise InputError("out of range", where="bins", expected=f"2 to {self.size}", found=self.bins)

    @property
    def ids(self) -> slice:
        """Ids that are actions."""
        return slice(self.size - self.bins, self.size)

    def encode(self, actions: ArrayLike) -> Ids:
        """Ids of normalised actions; any shape."""
        edges = np.linspace(-1.0, 1.0, self.bins)
        return np.asarray(self.size - np.digitize(np.clip(actions, -1.0, 1.0), edges), np.int64)

    def decode(self, ids: ArrayLike) -> Numbers:
        """Bin centres, any shape.

        :raises InputError: when an id is no action.
        """
        values = _inside(ids, self.ids)
        centre = np.minimum(self.size - 1 - values, self.bins - 2)
        return np.asarray((2 * centre + 1) / (self.bins - 1) - 1.0, np.float64)


@dataclass(frozen=True)
class FastVocabulary:
    """Ids before the last few of the vocabulary, downwards: FAST token f, from 0, is ``size - 1 - skipped - f``.

    :param size: of the text vocabulary; PaliGemma's, with its segmentation and location tokens.
    :param skipped: ids at the end that are left alone.
    :param tokens: of FAST.
    :param scale: coefficients of the cosine transform are multiples of its inverse.
    :param lowest: coefficient, times scale, that is written as the character 0.
    """

    name: ClassVar[str] = "pi0_fast"
    size: int = 257_152
    skipped: int = 128
    tokens: int = 2048
    scale: float = 10.0
    lowest: int = -354

    def __post_init__(self) -> None:
        if not (self.skipped >= 0 and 1 <= self.tokens <= self.size - self.skipped):
            found = f"{self.tokens}, of {self.size} with {self.skipped} skipped"
            raise InputError("out of range", where="tokens", found=found)
        if not self.scale > 0:
            raise InputError("out of range", where="scale", expected="positive", found=self.scale)

    @property
    def ids(self) -> slice:
        """Ids that are actions."""
        last = self.size - self.skipped
        return slice(last - self.tokens, last)

    def id_of(self, fast: ArrayLike) -> Ids:
        """Ids of FAST tokens."""
        return np.asarray(self.size - 1 - self.skipped - np.asarray(fast, np.int64), np.int64)

    def fast_of(self, ids: ArrayLike) -> Ids:
        """FAST tokens of ids.

        :raises InputError: when an id is no action.
        """
        return np.asarray(self.size - 1 - self.skipped - _inside(ids, self.ids), np.int64)

    def write(self, chunk: ArrayLike) -> str:
        """The text of a normalised chunk (H, A): one character for each rounded coefficient, row after row."""
        values = np.asarray(chunk, np.float64)
        rounded = np.rint(_cosines(len(values)) @ values * self.scale).astype(int) - self.lowest
        return "".join(map(chr, np.maximum(rounded, 0).ravel()))

    def read(self, text: str, horizon: int, dim: int) -> Numbers:
        """The normalised chunk (H, A) that a text stands for.

        :raises InputError: when it has not one character for each number, or one that cannot be meant.
        """
        if len(text) != horizon * dim:
            raise InputError("not a whole chunk", where="actions", expected=horizon * dim, found=len(text))
        if "\N{REPLACEMENT CHARACTER}" in text:
            raise InputError("not a text", where="actions", expected="UTF-8")
        coefficients = np.array([ord(letter) + self.lowest for letter in text], np.float64).reshape(horizon, dim)
        return np.asarray(_cosines(horizon).T @ coefficients / self.scale)


Vocabulary = BinVocabulary | FastVocabulary
VOCABULARIES: dict[str, type[BinVocabulary] | type[FastVocabulary]] = {
    kind.name: kind for kind in (BinVocabulary, FastVocabulary)
}


def vocabulary(fields: dict[str, Any], where: str) -> Vocabulary:
    """A vocabulary from data: its ``name``, and fields that differ from the published one's.

    :raises InputError: on an unknown name or field, or numbers out of range.
    """
    options = dict(fields)
    name = options.pop("name", None)
    if name not in VOCABULARIES:
        raise InputError("unknown", where=f"{where}: name", expected=" or ".join(VOCABULARIES), found=repr(name))
    if wrong := [key for key, value in options.items() if type(value) not in (int, float)]:
        raise InputError("not a number", where=f"{where}: {wrong[0]}", found=repr(options[wrong[0]]))
    try:
        return VOCABULARIES[name](**options)
    except TypeError as error:
        raise InputError("unknown field", where=where, found=str(error)) from error
    except InputError as error:
        raise error.at(where) from error


@dataclass(frozen=True)
class Quantiles:
    """The statistics that normalised numbers were made with, one of each a column.

    :param low: 1st percentile, at -1.
    :param high: 99th percentile, at 1.
    :param scaled: columns that were normalised at all; empty: all of them.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    scaled: tuple[bool, ...] = ()

    def restore(self, values: ArrayLike) -> Numbers:
        """Normalised numbers (..., A) in their own units."""
        normalised, low, high = np.asarray(values, np.float64), np.asarray(self.low), np.asarray(self.high)
        restored = (normalised + 1) / 2 * (high - low) + low
        return np.where(self.scaled, restored, normalised) if self.scaled else restored

    def normalise(self, values: ArrayLike) -> Numbers:
        """Numbers (..., A) normalised; a column that never varied in the data is at -1."""
        low, high = np.asarray(self.low), np.asarray(self.high)
        span = np.where(high > low, high - low, np.inf)
        normalised = (np.asarray(values, np.float64) - low) / span * 2 - 1
        return np.where(self.scaled, normalised, values) if self.scaled else normalised


def written_state(normalised: ArrayLike) -> str:
    """A normalised state as prompts of pi0-FAST have it: bins 0 to 255 of [-1, 1], with spaces between.

    Below -1 it is -1, as in openpi.
    """
    bins = np.digitize(np.asarray(normalised, np.float64), np.linspace(-1, 1, 257)[:-1]) - 1
    return " ".join(map(str, bins.tolist()))


def _inside(ids: ArrayLike, actions: slice) -> Ids:
    values = np.asarray(ids, np.int64)
    if (wrong := values[(values < actions.start) | (values >= actions.stop)]).size:
        raise InputError(
            "token is no action", where="tokens", expected=f"{actions.start} to {actions.stop - 1}", found=int(wrong[0])
        )
    return values


@cache
def _cosines(n: int) -> Numbers:
    """The orthonormal cosine transform (DCT-II) of n numbers, as a matrix (n, n)."""
    k, i = np.arange(n)[:, None], np.arange(n)[None]
    matrix = np.cos(np.pi * k * (2 * i + 1) / (2 * n)) * np.sqrt(2 / n)
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix)
