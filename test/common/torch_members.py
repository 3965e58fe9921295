"""Members of torch ensembles, as somebody's package might have them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vla_policy.nets import ACTION, HORIZON, Encoder, Velocity


class Plain(nn.Module):
    """The policy that ships, with its chunk as a matrix; its context is one vector."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.flow = Encoder(), Velocity()

    def prefix(self, inputs: dict[str, Tensor]) -> Tensor:
        found: Tensor = self.encoder(inputs["agentview"], inputs["wrist"], inputs["proprio"], inputs["text"])
        return found

    def velocity(self, x: Tensor, t: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        v, last = self.flow(x.flatten(1), t, context)
        return v.view(-1, HORIZON, ACTION), last


class Nested(nn.Module):
    """A context of tensors in a dict, no last layer, and the convention of pi0."""

    def __init__(self) -> None:
        super().__init__()
        self.look, self.out = nn.Linear(11, 5), nn.Linear(ACTION + 5 + 1, ACTION)

    def prefix(self, inputs: dict[str, Tensor]) -> dict[str, Any]:
        seen = self.look(inputs["proprio"])
        return {"cache": [(seen, seen + 1)], "length": 3}

    def features(self, context: dict[str, Any]) -> Tensor:
        found: Tensor = context["cache"][0][0]
        return found

    def velocity(self, x: Tensor, s: Tensor, context: dict[str, Any]) -> Tensor:
        seen = context["cache"][0][1] - 1
        rest = torch.cat([seen, s[:, None]], 1)[:, None].expand(-1, x.shape[1], -1)
        found: Tensor = self.out(torch.cat([x, rest], 2))
        return found


def wrong() -> nn.Module:
    return nn.Linear(1, 1)
