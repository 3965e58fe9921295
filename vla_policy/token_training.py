"""Trains the token head on a frozen encoder of the flow policy: minutes, for an image is encoded only a few times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

from vla_policy.nets import ACTION, HORIZON, Encoder
from vla_policy.observation import CAMERAS
from vla_policy.token_nets import TOKENS, TokenPolicy
from vla_policy.tokens import TOKEN_HORIZON, Tokeniser
from vla_policy.training import Progress, Schedule, augment, optimise


@dataclass(frozen=True)
class TokenRecipe(Schedule):
    """How the head is trained; the defaults are those of the shipped weights.

    :param copies: augmentations of each observation, encoded once each.
    """

    iterations: int = 5000
    batch: int = 128
    learning_rate: float = 2e-3
    copies: int = 4


def train_tokens(
    chunks: Tensor, contexts: Tensor, encoder: Encoder, seed: int, recipe: TokenRecipe, progress: Progress
) -> TokenPolicy:
    """Train a head from its own initialisation and order.

    :param chunks: (N, 112) normalised, as :func:`vla_policy.training.load` gives them.
    :param contexts: (copies, N, 173) of :func:`encode`.
    :param encoder: that made them; it stays as it is.
    :param progress: as :func:`vla_policy.training.optimise` calls it.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    policy, tokeniser = TokenPolicy(encoder), Tokeniser()
    actions = chunks.reshape(-1, HORIZON, ACTION)[:, :TOKEN_HORIZON]
    tokens = tokeniser.encode(actions.numpy()).reshape(-1, TOKENS)
    targets, levels = torch.from_numpy(tokens), torch.from_numpy(tokeniser.levels(tokens))

    def losses() -> dict[str, Tensor]:
        rows, copies = (torch.randint(n, (recipe.batch,)) for n in (len(targets), len(contexts)))
        with torch.autocast("cpu", torch.bfloat16):
            logits = policy.head.teach(contexts[copies, rows], levels[rows])
        return {"nats a token": functional.cross_entropy(logits.float().flatten(0, 1), targets[rows].flatten())}

    policy.head = optimise(policy.head, losses, recipe, progress)
    return policy.eval()


@torch.no_grad()
def encode(
    data: Mapping[str, Tensor], encoder: Encoder, seed: int, recipe: TokenRecipe, encoded: Callable[[int], None]
) -> Tensor:
    """Contexts (copies, N, 173) of all observations, each copy augmented anew.

    :param data: as :func:`vla_policy.training.load` gives it.
    :param encoded: called with the number of observations encoded since the last call.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    encoder = encoder.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = []
    for rows in torch.arange(len(data["chunk"])).repeat(recipe.copies).split(recipe.batch):
        proprio = data["proprio"][rows]
        proprio = proprio + recipe.proprio_noise * torch.randn_like(proprio)
        images = [augment(data[name][rows]) for name in CAMERAS]
        with torch.autocast("cpu", torch.bfloat16):
            found.append(encoder(*images, proprio, data["text"][rows]).float())
        encoded(len(rows))
    return torch.cat(found).reshape(recipe.copies, len(data["chunk"]), -1)
