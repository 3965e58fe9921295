"""Exports trained members to ONNX: an encoder and a velocity graph each, with dynamic batch, and the manifest."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vla_policy.instruction import TEXT
from vla_policy.manifest import ACTION_SCALE, Manifest, sha256
from vla_policy.nets import ACTION, CONTEXT, FEATURE, GEOMETRY, HORIZON, WIDTH, Member
from vla_policy.observation import CAMERAS, IMAGE_SIZE, PROPRIO

FLOW_STEPS, EXECUTE_STEPS, STEP_DURATION = 10, 6, 0.05
POSITION_STEP, ROTATION_STEP = 0.05, 0.5
TOLERANCE = 1e-4
"""Largest difference between a graph and its torch original."""


def export(members: Sequence[Member], directory: Path, training: dict[str, Any]) -> Manifest:
    """Write ``encoder_<i>.onnx``, ``velocity_<i>.onnx`` and ``manifest.json``; check each graph against torch.

    :raises RuntimeError: when a graph does not agree with torch.
    """
    directory.mkdir(parents=True, exist_ok=True)
    images = torch.rand(3, 3, IMAGE_SIZE, IMAGE_SIZE)
    observed = (images, images.flip(0), torch.randn(3, PROPRIO), torch.randn(3, TEXT))
    noise = (torch.randn(3, HORIZON * ACTION), torch.rand(3), torch.randn(3, CONTEXT))
    files = {}
    for i, member in enumerate(members):
        plans = (
            (f"encoder_{i}.onnx", member.encoder, observed, [*CAMERAS, "proprio", "text"], ["context"]),
            (f"velocity_{i}.onnx", member.velocity, noise, ["x", "t", "context"], ["velocity", "last_layer"]),
        )
        for name, module, arguments, inputs, outputs in plans:
            _export(module, arguments, inputs, outputs, directory / name)
            files[name] = sha256(directory / name)
    manifest = Manifest(
        members=len(members),
        horizon=HORIZON,
        action_dim=ACTION,
        flow_steps=FLOW_STEPS,
        execute_steps=EXECUTE_STEPS,
        step_duration=STEP_DURATION,
        context=CONTEXT,
        last_layer=WIDTH,
        feature_slice=(0, FEATURE + GEOMETRY),
        action_scale=ACTION_SCALE,
        position_step=POSITION_STEP,
        rotation_step=ROTATION_STEP,
        image_size=IMAGE_SIZE,
        files=files,
        training=training,
    )
    manifest.save(directory)
    return manifest


def _export(
    module: nn.Module, arguments: tuple[torch.Tensor, ...], inputs: list[str], outputs: list[str], path: Path
) -> None:
    import onnxruntime

    module = module.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    batch = {name: {0: "batch"} for name in [*inputs, *outputs]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the TorchScript exporter is the one that keeps these graphs small
        torch.onnx.export(
            module,
            arguments,
            str(path),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=batch,
            opset_version=17,
            dynamo=False,
        )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for size in (1, len(arguments[0])):
        part = tuple(argument[:size] for argument in arguments)
        with torch.no_grad():
            expected = module(*part)
        expected = expected if isinstance(expected, tuple) else (expected,)
        found = session.run(None, {name: value.numpy() for name, value in zip(inputs, part, strict=True)})
        for theirs, ours in zip(found, expected, strict=True):
            gap = float(np.abs(theirs - ours.numpy()).max())
            if not gap < TOLERANCE:
                raise RuntimeError(f"{path.name}: differs from torch by {gap:.1e}")
