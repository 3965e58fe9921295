"""Exports trained policies to ONNX, with dynamic batch, and their manifests.

A flow member is an encoder and a velocity graph; a token policy an encoder and the graph of one token.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vla_policy.instruction import TEXT
from vla_policy.manifest import ACTION_SCALE, OPEN_WIDTH, FlowManifest, TokenManifest, normaliser, sha256
from vla_policy.nets import ACTION, CONTEXT, FEATURE, GEOMETRY, HORIZON, WIDTH, Member
from vla_policy.observation import CAMERAS, IMAGE_SIZE, PROPRIO
from vla_policy.token_nets import TokenPolicy
from vla_policy.tokens import BINS, LIMITS, TOKEN_HORIZON

FLOW_STEPS = 10
SHARED: dict[str, Any] = {
    "action_dim": ACTION,
    "execute_steps": 6,
    "step_duration": 0.05,
    "context": CONTEXT,
    "last_layer": WIDTH,
    "feature_slice": (0, FEATURE + GEOMETRY),
    "action_scale": ACTION_SCALE,
    "position_step": 0.05,
    "rotation_step": 0.5,
    "image_size": IMAGE_SIZE,
}
"""Fields that the manifests of all policies have, and the same in all."""
ROWS = 3
"""Rows that a graph is traced and checked with."""
TOLERANCE = 1e-4
"""Largest difference between a graph and its torch original."""


def export(
    members: Sequence[Member], directory: Path, training: dict[str, Any], open_width: float = OPEN_WIDTH
) -> FlowManifest:
    """Write ``encoder_<i>.onnx``, ``velocity_<i>.onnx`` and ``manifest.json``; check each graph against torch.

    Members that share one encoder, the same module, are written with it once.

    :param open_width: of the robot's fingers, see :class:`Manifest`.
    :raises RuntimeError: when a graph does not agree with torch.
    """
    noise = (torch.randn(ROWS, HORIZON * ACTION), torch.rand(ROWS), torch.randn(ROWS, CONTEXT))
    shared = [next(j for j, other in enumerate(members) if other.encoder is m.encoder) for m in members]
    graphs = []
    for i, member in enumerate(members):
        if shared[i] == i:
            inputs = [*CAMERAS, "proprio", "text"]
            graphs.append(Graph(f"encoder_{i}.onnx", member.encoder, observed(), inputs, ["context"]))
        outputs = ["velocity", "last_layer"]
        graphs.append(Graph(f"velocity_{i}.onnx", member.velocity, noise, ["x", "t", "context"], outputs))
    files = write_graphs(graphs, directory)
    manifest = FlowManifest(
        members=len(members),
        horizon=HORIZON,
        flow_steps=FLOW_STEPS,
        files=files,
        training=training,
        open_width=open_width,
        encoders=() if shared == list(range(len(members))) else tuple(shared),
        normalisers=(normaliser(ACTION_SCALE),) * len(members),
        **SHARED,
    )
    manifest.save(directory)
    return manifest


def export_tokens(policy: TokenPolicy, directory: Path, training: dict[str, Any]) -> TokenManifest:
    """Write ``encoder_0.onnx``, ``head_0.onnx`` and ``manifest.json``; check each graph against torch.

    :raises RuntimeError: when a graph does not agree with torch.
    """
    state = (torch.randn(ROWS, WIDTH), torch.randn(ROWS, WIDTH), torch.rand(ROWS), torch.arange(ROWS))
    graphs = [
        Graph("encoder_0.onnx", policy, observed(), [*CAMERAS, "proprio", "text"], ["context", "code"]),
        Graph(
            "head_0.onnx",
            policy.head,
            state,
            ["code", "memory", "level", "index"],
            ["logits", "memory_out", "last_layer"],
        ),
    ]
    files = write_graphs(graphs, directory)
    manifest = TokenManifest(
        members=1, horizon=TOKEN_HORIZON, bins=BINS, limits=LIMITS, files=files, training=training, **SHARED
    )
    manifest.save(directory)
    return manifest


@dataclass(frozen=True, eq=False)
class Graph:
    """A module to export.

    :param arguments: ``ROWS`` rows to trace it with.
    """

    file: str
    module: nn.Module
    arguments: tuple[torch.Tensor, ...]
    inputs: list[str]
    outputs: list[str]


def observed() -> tuple[torch.Tensor, ...]:
    """``ROWS`` observations of nothing, in the order in which encoders take them."""
    images = torch.rand(ROWS, 3, IMAGE_SIZE, IMAGE_SIZE)
    return images, images.flip(0), torch.randn(ROWS, PROPRIO), torch.randn(ROWS, TEXT)


def write_graphs(graphs: Sequence[Graph], directory: Path) -> dict[str, str]:
    """Export graphs and check each against torch; file name to SHA-256.

    :raises RuntimeError: when a graph does not agree with torch.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for graph in graphs:
        _export(graph, directory / graph.file)
    return {graph.file: sha256(directory / graph.file) for graph in graphs}


def _export(graph: Graph, path: Path) -> None:
    import onnxruntime

    module = graph.module.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    batch = {name: {0: "batch"} for name in [*graph.inputs, *graph.outputs]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the TorchScript exporter is the one that keeps these graphs small
        torch.onnx.export(
            module,
            graph.arguments,
            str(path),
            input_names=graph.inputs,
            output_names=graph.outputs,
            dynamic_axes=batch,
            opset_version=17,
            dynamo=False,
        )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for size in (1, ROWS):
        part = tuple(argument[:size] for argument in graph.arguments)
        with torch.no_grad():
            expected = module(*part)
        expected = expected if isinstance(expected, tuple) else (expected,)
        found = session.run(None, {name: value.numpy() for name, value in zip(graph.inputs, part, strict=True)})
        for theirs, ours in zip(found, expected, strict=True):
            gap = float(np.abs(theirs - ours.numpy()).max())
            if not gap < TOLERANCE:
                raise RuntimeError(f"{path.name}: differs from torch by {gap:.1e}")
