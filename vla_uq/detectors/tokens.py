"""Token scores of autoregressive policies: how unlikely, and how undecided, the tokens of an action were.

SAFE's token baselines (arXiv 2506.09937, section 5.2): the largest and the mean of -ln p_i, and of the entropies H_i,
over the tokens of an inference. There p_i is the largest probability at token i; here it is that of the token that was
sampled, and tokens that are no actions do not count (see :mod:`vla_uq.detectors.token_statistics`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from vla_uq.artefact import field
from vla_uq.detectors.base import Progress, StreamingDetector, Tensors, take
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout

T = TypeVar("T", bound="TokenDetector")


class TokenDetector(StreamingDetector):
    """What the four share: the tensor, one value a token, as many tokens as there are.

    Inferences of an episode that have fewer tokens than the longest are filled up with NaN at the end, which does not
    count; any other value that is not finite, or no token at all, makes the score NaN.

    They learn nothing.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    tensor: ClassVar[str]
    sign: ClassVar[float]
    largest: ClassVar[bool]

    def __init__(self, aggregator: str = "running_mean") -> None:
        super().__init__(aggregator)
        self.needs = (self.tensor,)

    def fit(self, rollouts: Iterable[Rollout], progress: Progress | None = None) -> None:
        """Check that the rollouts have tokens.

        :raises InputError: when one has none.
        """
        for rollout in rollouts:
            if self.tensor not in rollout.tensors:
                raise InputError(
                    "rollout lacks a tensor",
                    where=f"{rollout.meta.episode_id}: {self.tensor}",
                    remedy="a flow or diffusion policy has no tokens: leave this detector out",
                )

    def step(self, tensors: Tensors) -> float:
        """The score of one inference by itself."""
        values = take(tensors, self.tensor, (None,))
        present = np.flatnonzero(~np.isnan(values))
        values = values[: present[-1] + 1] if len(present) else values
        if not np.isfinite(values).all():
            return math.nan
        scores = self.sign * values.astype(np.float64)
        return float(scores.max() if self.largest else scores.mean())

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See :meth:`Detector.state`."""
        return {}, {"version": self.version, "aggregator": self.aggregator}

    @classmethod
    def from_state(cls: type[T], tensors: Tensors, config: Mapping[str, Any], where: str = "") -> T:
        """See :meth:`Detector.from_state`."""
        return cls(field(config, "aggregator", str, where))


class TokenMaxProb(TokenDetector):
    """Largest -ln p of the tokens (nats): the least likely one."""

    name: ClassVar[str] = "token_max_prob"
    tensor: ClassVar[str] = "token_logprobs"
    sign: ClassVar[float] = -1.0
    largest: ClassVar[bool] = True


class TokenAvgProb(TokenDetector):
    """Mean -ln p of the tokens (nats)."""

    name: ClassVar[str] = "token_avg_prob"
    tensor: ClassVar[str] = "token_logprobs"
    sign: ClassVar[float] = -1.0
    largest: ClassVar[bool] = False


class TokenMaxEntropy(TokenDetector):
    """Largest entropy of the tokens' distributions (nats)."""

    name: ClassVar[str] = "token_max_entropy"
    tensor: ClassVar[str] = "token_entropies"
    sign: ClassVar[float] = 1.0
    largest: ClassVar[bool] = True


class TokenAvgEntropy(TokenDetector):
    """Mean entropy of the tokens' distributions (nats)."""

    name: ClassVar[str] = "token_avg_entropy"
    tensor: ClassVar[str] = "token_entropies"
    sign: ClassVar[float] = 1.0
    largest: ClassVar[bool] = False


class Perplexity(TokenDetector):
    """exp of the mean -ln p of the tokens, 1 or more: the baseline of arXiv 2606.18043, of action tokens.

    Its other one, the mean entropy of the tokens, is :class:`TokenAvgEntropy`.
    """

    name: ClassVar[str] = "perplexity"
    tensor: ClassVar[str] = "token_logprobs"
    sign: ClassVar[float] = -1.0
    largest: ClassVar[bool] = False

    def step(self, tensors: Tensors) -> float:
        """The score of one inference by itself."""
        return float(np.exp(super().step(tensors)))
