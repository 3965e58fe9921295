"""From an autoregressive policy's logits to the statistics of its action tokens.

The published token baselines look at all generated tokens, also at those that frame the actions, take the largest
probability for that of the token that was sampled, and for OpenVLA leave out the first action token and take in a
column beyond the last. Here only action tokens count, with the probability that they were sampled with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError

Stored = NDArray[np.float32]

OPENVLA = slice(32_000 - 256, 32_000)
"""OpenVLA's action tokens. Its tokenizer maps an action to vocabulary size - bin with bins 1 to 256 (``np.digitize``)
and a vocabulary of 32,000: ids 31,999 down to 31,744. Logits have further columns of padding, which are none."""

PI0_FAST = slice(257_152 - 128 - 2048, 257_152 - 128)
"""pi0-FAST's action tokens. FAST token f, 0 to 2047, becomes vocabulary size - 1 - skipped - f, with PaliGemma's
257,152 entries of which the last 128 are skipped: ids 257,023 down to 254,976."""


@dataclass(frozen=True, eq=False)
class TokenStatistics:
    """Of the action tokens of one inference, in their order; the tensors ``token_*`` of a trace.

    :param logprobs: (tokens,) ln of the probability that the token was sampled with, among action tokens (nats).
    :param entropies: (tokens,) entropy of its distribution over the action tokens (nats).
    :param mass: (tokens,) probability that the token would be an action token at all.
    """

    logprobs: Stored
    entropies: Stored
    mass: Stored

    def tensors(self) -> dict[str, Stored]:
        """Under the names that a trace has them."""
        return {"token_logprobs": self.logprobs, "token_entropies": self.entropies, "token_mass": self.mass}


def token_statistics(
    logits: NDArray[np.floating[Any]], vocabulary: slice, sampled: NDArray[np.integer[Any]] | None = None
) -> TokenStatistics:
    """Statistics of the action tokens among the generated ones.

    :param logits: (n, V) that predicted each generated token, at the temperature that was sampled with.
    :param vocabulary: the columns of action tokens, as :data:`OPENVLA`; ``slice(0, V)`` where a record holds only them.
    :param sampled: (n,) ids of the generated tokens, as columns of ``logits``; rows of other than action tokens are
        left out. The most probable action token of each row if not given: right where decoding was greedy and all rows
        are of action tokens.
    :raises InputError: when shapes do not fit, the vocabulary lies outside, or no token is an action's.
    """
    values = np.asarray(logits, np.float64)
    first, last, step = vocabulary.indices(values.shape[-1] if values.ndim else 0)
    if values.ndim != 2 or first >= last or step != 1 or last != vocabulary.stop:
        raise InputError(
            "logits do not hold the action tokens",
            where="logits",
            expected=f"(n, V) with columns {vocabulary.start} to {vocabulary.stop - 1}",
            found=values.shape,
        )
    actions = values[:, first:last]
    chosen = actions.argmax(axis=1) if sampled is None else np.asarray(sampled) - first
    if chosen.shape != values.shape[:1]:
        raise InputError("tokens do not fit the logits", where="sampled", expected=values.shape[:1], found=chosen.shape)
    kept = (chosen >= 0) & (chosen < last - first)
    if not kept.any():
        raise InputError("no token is an action's", where="sampled", expected=f"{first} to {last - 1}", found=sampled)
    actions, chosen = actions[kept], chosen[kept]
    total = np.logaddexp.reduce(actions, axis=1)
    log_p = actions - total[:, None]
    p = np.exp(log_p)
    found = (
        np.take_along_axis(log_p, chosen[:, None], axis=1)[:, 0],
        # A token that cannot be sampled (logit -inf) adds nothing.
        -np.where(p > 0, p * np.where(p > 0, log_p, 0.0), 0.0).sum(axis=1),
        np.exp(total - np.logaddexp.reduce(values[kept], axis=1)),
    )
    return TokenStatistics(*(value.astype(np.float32) for value in found))
