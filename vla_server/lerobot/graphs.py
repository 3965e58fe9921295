"""A LeRobot flow policy as two functions of tensors, which is what an exporter can trace.

What a policy knows of an observation when its flow begins is what its ``denoise_step`` is given besides state and time:
a mask and the key and value cache. The first function gives these, and the second takes them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from vla_server.lerobot.tap import FlowTap, replaced

MASK, CACHE = "prefix_pad_masks", "past_key_values"
CONTEXT = ("mask", "keys", "values")
"""What the second function takes of the first one's result: (B, L) bool, and twice (B, layer, …)."""


class Encoder(nn.Module):
    """Observations to what the policy makes of them.

    :param tap: of the policy.
    :param names: of the batch's entries, in the order in which they are given.
    """

    def __init__(self, tap: FlowTap, names: Sequence[str]) -> None:
        super().__init__()
        self.policy, self._tap, self._names = tap.policy, tap, tuple(names)
        self._step = inspect.signature(tap.model.denoise_step)
        self._pictures = tap.expert.get_vlm_model().vision_model
        self._added = _places(self._pictures, *tap.policy.config.resize_imgs_with_padding)

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        """(B, …) each to ``CONTEXT`` and, (B, D), the last hidden layer of the vision-language model: its mean over the
        tokens that are there.
        """
        arguments, hidden = self._heard(dict(zip(self._names, values, strict=True)))
        mask, layers = arguments[MASK], arguments[CACHE]
        if isinstance(layers, dict):
            layers = [(one["key_states"], one["value_states"]) for one in layers.values()]
        cached = (torch.stack([layer[part] for layer in layers], 1) for part in range(2))
        there = mask[..., None].to(hidden.dtype)
        return mask, *cached, (hidden * there).sum(1) / there.sum(1)

    def _heard(self, batch: dict[str, Tensor]) -> tuple[dict[str, Any], Tensor]:
        """The arguments of the first flow step, and the prefix's last hidden layer (B, L, D)."""
        config, expert, found = self.policy.config, self._tap.expert, list[Any]()
        forward = expert.forward

        def heard_forward(*args: Any, **kwargs: Any) -> Any:
            result = forward(*args, **kwargs)
            found.append(result[0][0])
            return result

        def heard_step(*args: Any, **kwargs: Any) -> Tensor:
            found.append(self._step.bind(*args, **kwargs).arguments)
            raise _EnoughError

        rows = next(iter(batch.values())).shape[0]
        noise = torch.zeros(rows, config.chunk_size, config.max_action_dim)
        with ExitStack() as stack:
            stack.enter_context(replaced(self._tap.model, "denoise_step", heard_step))
            stack.enter_context(replaced(expert, "forward", heard_forward))
            stack.enter_context(_whole_pictures(self._pictures, self._added))
            stack.enter_context(suppress(_EnoughError))
            self.policy.predict_action_chunk(batch, noise=noise)
        hidden, arguments = found
        return arguments, hidden


class Velocity(nn.Module):
    """States (N, H, W), times (N,) and ``CONTEXT`` of one row or of N, to velocities and last hidden layers (N, H, D).

    :param cached: class of the policy's cache.
    """

    def __init__(self, tap: FlowTap, cached: Any) -> None:
        super().__init__()
        self.model, self._cached = tap.model, cached

    def forward(self, x: Tensor, t: Tensor, mask: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """As LeRobot's, in its convention."""
        mask, keys, values = (one.expand(x.shape[0], *one.shape[1:]) for one in (mask, keys, values))
        pairs = [(keys[:, number], values[:, number]) for number in range(keys.shape[1])]
        if issubclass(self._cached, dict):
            cache: Any = {i: {"key_states": key, "value_states": value} for i, (key, value) in enumerate(pairs)}
        else:
            cache = self._cached(tuple(pairs))
        layers = list[Tensor]()
        hook = self.model.action_out_proj.register_forward_pre_hook(lambda _, args: layers.append(args[0]))
        try:
            velocity = self.model.denoise_step(**{MASK: mask, CACHE: cache}, x_t=x, timestep=t)
        finally:
            hook.remove()
        return velocity, layers[0]


class _EnoughError(Exception):
    """The context is known, and no step is wanted."""


def _places(encoder: Any, width: int, height: int) -> Tensor:
    """What SmolVLM's image encoder adds to the patches of a picture without padding, (1, patches, D)."""
    own, found = encoder.embeddings, list[Tensor]()
    hook = own.position_embedding.register_forward_hook(lambda *heard: found.append(heard[2].detach()))
    try:
        there = torch.ones(1, height // own.patch_size, width // own.patch_size, dtype=torch.bool)
        own(torch.zeros(1, 3, height, width), there)
    finally:
        hook.remove()
    return found[0]


@contextmanager
def _whole_pictures(encoder: Any, places: Tensor) -> Iterator[None]:
    """SmolVLM's image encoder for pictures without padding, as SmolVLA's always are.

    Its own code goes through the pictures one by one to see where each ends, and a trace would remember their number.
    """

    def looked(pixel_values: Tensor, **_: Any) -> Any:
        patches = encoder.embeddings.patch_embedding(pixel_values).flatten(2).transpose(1, 2) + places
        hidden = encoder.encoder(inputs_embeds=patches, attention_mask=None).last_hidden_state
        return SimpleNamespace(last_hidden_state=encoder.post_layernorm(hidden))

    with replaced(encoder, "forward", looked):
        yield


@contextmanager
def numbers_counted() -> Iterator[None]:
    """While this lasts, ``torch.cumsum`` counts numbers: ONNX has no sum of what is true, which is how LeRobot counts.

    The results are the same.
    """
    own = torch.cumsum

    def counted(values: Tensor, dim: int) -> Tensor:
        return own(values.long() if values.dtype == torch.bool else values, dim)

    with replaced(torch, "cumsum", counted):
        yield
