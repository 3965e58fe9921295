"""Actions as discrete tokens: one bin for each number of a chunk, action after action."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_policy.manifest import ACTION_SCALE

TOKEN_HORIZON = 8
"""Actions in a chunk of the token policy: six are executed, the rest covers a late successor."""
BINS = 65
"""Odd, so that resting is a bin."""
LIMITS = (*(1 / scale for scale in ACTION_SCALE[:3]), 1.0, 1.0, 1.0, 1.0)
"""Largest normalised action that has a bin: translation and gripper up to |action| = 1, rotation up to .15 (1 % of the
demonstrations' tilts lie beyond, none beyond .3)."""


@dataclass(frozen=True)
class Tokeniser:
    """Uniform bins in each dimension.

    :param bins: a dimension.
    :param limits: (A,) normalised actions at the centres of the outermost bins.
    """

    bins: int = BINS
    limits: tuple[float, ...] = LIMITS

    def encode(self, actions: NDArray[np.floating]) -> NDArray[np.int64]:
        """Nearest bins of normalised actions (..., A): tokens (..., A)."""
        levels = np.clip(actions / np.asarray(self.limits), -1, 1)
        return np.rint((levels + 1) / 2 * (self.bins - 1)).astype(np.int64)

    def levels(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Bin centres on one scale for all dimensions, −1 to 1: what the network reads. Any shape."""
        return (2 * tokens / (self.bins - 1) - 1).astype(np.float32)

    def decode(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Bin centres as normalised actions, (..., A) to (..., A)."""
        return self.levels(tokens) * np.asarray(self.limits, np.float32)
