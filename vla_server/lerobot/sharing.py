"""One pass of a frozen vision-language model for several action experts.

Experts may share what the model made of an observation when its parameters are bit for bit the same in all members:
pi0 and pi0.5 as it is, since pi0's state enters with the flow steps and pi0.5's as words. In SmolVLA the state is the
prefix's last token, through a projection that is trained: no other token looks at it, so that it alone is computed
again for each member.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vla_server.lerobot.cache import rows, without_last
from vla_server.lerobot.tap import FlowTap, replaced

MODELS = ("vlm", "paligemma")
"""Names of the vision-language model next to the expert."""


def share_model(first: FlowTap, other: FlowTap) -> bool:
    """Let a member look through the first one's vision-language model, if its own is the same; its own is dropped.

    :returns: whether it is the same.
    """
    name = next(name for name in MODELS if hasattr(first.expert, name))
    ours, theirs = getattr(first.expert, name), getattr(other.expert, name)
    if ours is not theirs and not _equal(ours.state_dict(), theirs.state_dict()):
        return False
    setattr(other.expert, name, ours)
    return True


def arguments_for(member: FlowTap, actor: Mapping[str, Any], batch: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a member with a shared model knows of an observation, from what the actor does.

    :param actor: the actor's arguments of a flow step.
    :param batch: the observation.
    :returns: the member's; None: it has to look itself, as SmolVLA does with tokens of padding behind the state.
    """
    if member.family != "smolvla":
        return dict(actor)
    seen: Tensor = actor["prefix_pad_masks"]
    if not bool(seen[0, -1]):
        return None
    policy = member.policy
    state = policy.prepare_state(policy._prepare_batch(dict(batch)))
    with torch.no_grad():
        token = member.model.state_proj(state)[:, None]
        return {**actor, "past_key_values": _with_token(member.expert, actor["past_key_values"], token, seen)}


def _with_token(expert: Any, cache: Any, token: Tensor, seen: Tensor) -> Any:
    """The cache with another last token, that looks at all those before it.

    :param token: (1, 1, D) embedded.
    :param seen: (1, L) which tokens are there, the last one included.
    """
    before = without_last(rows({"cache": cache}, 1)["cache"])
    inputs = {
        "attention_mask": seen[:, None],
        "position_ids": seen.sum(-1, keepdim=True) - 1,
        "past_key_values": before,
        "inputs_embeds": [token, None],
        "use_cache": True,
    }
    # A prefix is self-attention in every layer, whatever the flow steps then do.
    with replaced(expert, "attention_mode", "self_attn"):
        if not isinstance(cache, dict):
            return expert.forward(**inputs)[1]
        attention, kept = expert.get_attention_interface(), dict[int, dict[str, Tensor]]()

        def heard(mask: Tensor, count: int, width: int, query: Tensor, key: Tensor, value: Tensor) -> Any:
            kept[len(kept)] = {"key_states": key, "value_states": value}
            return attention(mask, count, width, query, key, value)

        # LeRobot 0.4 joins the token to the cache for each layer's attention, and nowhere keeps it.
        with replaced(expert, "get_attention_interface", lambda: heard):
            expert.forward(**inputs, fill_kv_cache=False)
        return kept


def _equal(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
