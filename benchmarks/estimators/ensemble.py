"""What the estimators need of an ensemble, whatever its networks are."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Ensemble(Protocol):
    """Members with one interface; member 0 acts.

    :param shape: (H, A) of a chunk.
    :param width: of the last hidden layer, which the velocity is linear in.
    """

    shape: tuple[int, int]
    width: int

    @property
    def members(self) -> int: ...

    def __call__(self, x: Tensor, t: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """(M, B, H·A), (M, B), conditions (M, B, C) → velocity (M, B, H·A), last hidden layer (M, B, width)."""

    def member(self, index: int) -> Ensemble:
        """One member alone."""
