"""A multilayer perceptron in numpy: how the small nets that are trained in torch score on the robot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.detectors.base import Tensors
from vla_uq.detectors.learnt import Floats, learnt
from vla_uq.errors import InputError


@dataclass(frozen=True, eq=False)
class Mlp:
    """Linear layers with a leaky ReLU between them.

    Computes in double what is stored in single precision: a small difference of two errors is a detector's score, and
    it should not depend on how many inferences are computed at once.

    :param layers: weight (out, in) and bias (out,) of each.
    :param slope: of the ReLU below zero.
    """

    layers: tuple[tuple[Floats, Floats], ...]
    slope: float = 0.0

    @property
    def parameters(self) -> int:
        """Numbers that were learnt."""
        return sum(weight.size + bias.size for weight, bias in self.layers)

    def __call__(self, inputs: Floats) -> Floats:
        """Outputs (n, out) of inputs (n, in)."""
        h = inputs
        for weight, bias in self.layers[:-1]:
            h = h @ weight.T + bias
            h = np.maximum(h, self.slope * h)
        weight, bias = self.layers[-1]
        return h @ weight.T + bias

    def tensors(self, prefix: str = "") -> dict[str, NDArray[Any]]:
        """What a state keeps."""
        found = {}
        for i, (weight, bias) in enumerate(self.layers):
            found[f"{prefix}layer{i}/weight"] = weight.astype(np.float32)
            found[f"{prefix}layer{i}/bias"] = bias.astype(np.float32)
        return found

    @classmethod
    def from_tensors(cls, tensors: Tensors, prefix: str, sizes: Sequence[int | None], slope: float, where: str) -> Mlp:
        """The inverse of :meth:`tensors`.

        :param sizes: of the input, of each hidden layer and of the output; None for any.
        :raises InputError: naming the tensor that is missing or wrong.
        """
        layers, width = [], sizes[0]
        for i, size in enumerate(sizes[1:]):
            weight = learnt(tensors, f"{prefix}layer{i}/weight", (size, width), where)
            layers.append((weight, learnt(tensors, f"{prefix}layer{i}/bias", (len(weight),), where)))
            width = len(weight)
        return cls(tuple(layers), slope)


def checked_sizes(values: Sequence[int], where: str) -> list[int]:
    """Sizes of layers as a list of JSON values.

    :raises InputError: when one is not a whole number of at least 1.
    """
    sizes = list(values)
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise InputError("is wrong", where=where, expected="whole numbers of at least 1", found=sizes)
    return sizes
