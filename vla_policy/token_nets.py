"""An autoregressive head on the flow policy's encoder: one softmax over bins for each number of a chunk."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vla_policy.nets import ACTION, CONTEXT, WIDTH, Block, Encoder
from vla_policy.tokens import BINS, TOKEN_HORIZON

TOKENS = TOKEN_HORIZON * ACTION


class TokenHead(nn.Module):
    """p(token k | earlier tokens, context).

    What was said so far is kept in a running sum, to which each token adds its level times a vector of its place: a
    memory of fixed size for sampling, and a cumulative sum over all places at once for training.
    """

    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        self.code = nn.Sequential(nn.Linear(CONTEXT, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        self.place = nn.Parameter(torch.randn(TOKENS, WIDTH) * 0.1)
        self.write = nn.Parameter(torch.randn(TOKENS, WIDTH) * 0.1)
        self.blocks = nn.ModuleList(Block(WIDTH) for _ in range(depth))
        self.norm, self.leave = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, BINS)

    def forward(self, code: Tensor, memory: Tensor, level: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One token of each row.

        :param code: (B, 160) of the context.
        :param memory: (B, 160), zeros at the first token.
        :param level: (B,) of the token before, 0 at the first.
        :param index: (B,) place of this token in the chunk.
        :returns: logits (B, bins), memory, and the last hidden layer (B, 160) that the logits are linear in.
        """
        memory = memory + level[:, None] * self.write[index]
        logits, last = self._read(code + self.place[index], memory)
        return logits, memory, last

    def teach(self, context: Tensor, levels: Tensor) -> Tensor:
        """Teacher forcing: contexts (B, 173) and the true levels (B, tokens) to logits (B, tokens, bins)."""
        before = functional.pad(levels, (1, 0))[:, :-1]
        memory = (before[:, :, None] * self.write).cumsum(1)
        return self._read(self.code(context)[:, None] + self.place, memory)[0]

    def _read(self, c: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        h = memory
        for block in self.blocks:
            h = block(h, c)
        last = self.norm(h)
        return self.leave(last), last


class TokenPolicy(nn.Module):
    """A flow member's encoder and a token head."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder, self.head = encoder, TokenHead()

    def forward(self, agentview: Tensor, wrist: Tensor, proprio: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """An observation to its context (B, 173) and the head's code of it (B, 160): once a chunk."""
        context = self.encoder(agentview, wrist, proprio, text)
        return context, self.head.code(context)
