"""An autoregressive policy exported to ONNX: one encoder call a chunk, then one call of the head for each token.

The most probable token is taken each time (OpenVLA decodes so too): an observation decides the chunk, and a seed
changes nothing. What token scores need falls out of acting: the logits of every token that was said.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from policy_node.backends.base import Inference
from policy_node.backends.body import Body
from policy_node.backends.graphs import Opener, are_numbers, check, check_manifest, observed, try_out
from vla_policy.manifest import FILE, TokenManifest
from vla_policy.observation import Observation
from vla_policy.tokens import Tokeniser
from vla_uq.wire import Array

TENSORS = ("features", "token_logprobs", "token_entropies")


@dataclass(frozen=True, eq=False)
class _Memory:
    """What an inference leaves behind to be introspected.

    :param context: (C,) of the observation.
    :param tokens: (H·7,) that were said.
    :param logits: (H·7, bins) that they were chosen from.
    :param layers: (H·7, width) last hidden layer at each token.
    """

    context: Array
    tokens: NDArray[np.int64]
    logits: Array
    layers: Array


class TokensBackend:
    """The policy in a weights folder: ``manifest.json``, ``encoder_0.onnx``, ``head_0.onnx``.

    Graphs: encoder (agentview (B, 3, S, S), wrist, proprio (B, 11), text (B, 48)) → context (B, C), code (B, width);
    head (code, memory (B, width), level (B,), index (B,)) → logits (B, bins), memory, last layer (B, width).

    :param path: the folder.
    :param device: ``cpu`` or ``cuda``.
    :raises InputError: when the folder, a graph or the device cannot be used, naming it.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        manifest, self._encoder, self._head = _open(path, device)
        self._manifest, self._tokeniser = manifest, Tokeniser(manifest.bins, manifest.limits)
        self._body = Body(manifest)
        self.info = self._body.spec("tokens", TENSORS)

    def reset(self, instruction: str, seed: int | None) -> None:
        """See :meth:`Backend.reset`; nothing is drawn."""
        self._body.reset(instruction)

    def act(self, observation: Observation) -> Inference:
        """See :meth:`Backend.act`."""
        manifest = self._manifest
        context, code = self._encoder.run(None, self._body.inputs(observation))
        memory, level, said = np.zeros_like(code), np.zeros(1, np.float32), manifest.horizon * manifest.action_dim
        tokens = np.empty(said, np.int64)
        logits, layers = np.empty((said, manifest.bins), np.float32), np.empty((said, manifest.last_layer), np.float32)
        for index in range(said):
            feed = {"code": code, "memory": memory, "level": level, "index": np.full(1, index)}
            logits[index], memory, layers[index] = self._head.run(None, feed)
            tokens[index] = logits[index].argmax()
            level = self._tokeniser.levels(tokens[index : index + 1])
        chunk = self._tokeniser.decode(tokens.reshape(manifest.horizon, manifest.action_dim))
        return Inference(*self._body.execute(chunk), _Memory(context[0], tokens, logits, layers))

    def introspect(self, inference: Inference) -> dict[str, Array]:
        """See :meth:`Backend.introspect`.

        :returns: ``features`` (part of the context, mean of the last layer over the tokens), ``token_logprobs``
            (tokens,) of what was said and ``token_entropies`` (tokens,) of what it was chosen from, in nats. All of
            the vocabulary is actions, so their mass is 1 and not recorded.
        """
        memory = cast(_Memory, inference.memory)
        shifted = memory.logits.astype(np.float64) - memory.logits.max(axis=1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        inside = memory.context[slice(*self._manifest.feature_slice)]
        return {
            "features": np.concatenate([inside, memory.layers.mean(axis=0)]),
            "token_logprobs": np.take_along_axis(logs, memory.tokens[:, None], axis=1)[:, 0].astype(np.float32),
            "token_entropies": -(np.exp(logs) * logs).sum(axis=1).astype(np.float32),
        }

    def close(self) -> None:
        """See :meth:`Backend.close`: nothing is held open."""


def _open(folder: Path, device: str) -> tuple[TokenManifest, Any, Any]:
    """Read the manifest, open both graphs and run each once.

    :raises InputError: naming the file and the field that is missing or does not fit.
    """
    manifest = TokenManifest.load(folder)
    where, opener = folder / FILE, Opener(device)
    check_manifest(manifest, where, ("bins",))
    check(manifest, where, "members", manifest.members == 1, "1")
    check(manifest, where, "bins", manifest.bins > 1, "at least 2")
    limits = are_numbers(manifest.limits, manifest.action_dim) and min(manifest.limits) > 0
    check(manifest, where, "limits", limits, f"{manifest.action_dim} positive numbers")
    path, width = folder / "encoder_0.onnx", manifest.last_layer
    encoder = opener(path, manifest)
    _, code = try_out(encoder, observed(), [(1, manifest.context), (1, width)], path)
    path = folder / "head_0.onnx"
    head = opener(path, manifest)
    last = manifest.horizon * manifest.action_dim - 1
    feed = {"code": code, "memory": code, "level": np.zeros(1, np.float32), "index": np.full(1, last)}
    try_out(head, feed, [(1, manifest.bins), (1, width), (1, width)], path)
    return manifest, encoder, head
