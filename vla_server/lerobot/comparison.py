"""An exported LeRobot policy beside LeRobot itself, on observations of chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vla_policy.lerobot_coding import PROMPT, STATE, TOKENS, Coding
from vla_policy.manifest import LeRobotManifest
from vla_server.lerobot.graphs import CONTEXT
from vla_server.lerobot.loading import Member
from vla_server.lerobot.tap import FlowTap, Passage
from vla_uq.errors import InputError
from vla_uq.wire import Array

ACTIONS, BATCHED = 1e-5, 2e-5
PROMPTS = ("pick up the red cube", "open the drawer, then put the bowl into it\n")


@dataclass(frozen=True)
class Gap:
    """Largest differences from LeRobot: of normalised actions, at most ``ACTIONS``, and of the velocities at all steps
    of a chunk evaluated in one call, at most ``BATCHED``.
    """

    actions: float
    batched: float


def seen(sizes: Mapping[str, tuple[int, int]], state: Tensor, prompt: str) -> dict[str, Any]:
    """An observation as LeRobot's preprocessors take it; black images.

    :param sizes: feature to height and width.
    :param state: (1, D) or (D,).
    """
    images = {feature: torch.zeros(3, *size) for feature, size in sizes.items()}
    return {"task": prompt, STATE: state.reshape(-1), **images}


def compare(members: Sequence[Member], taps: Sequence[FlowTap], manifest: LeRobotManifest, folder: Path) -> Gap:
    """Compare every member with its graphs, and the manifest's normalisers and tokeniser with LeRobot's.

    :raises InputError: when something differs.
    """
    coding, rng, gaps = Coding(manifest, folder), np.random.default_rng(0), []
    for number, (member, tap) in enumerate(zip(members, taps, strict=True)):
        names = f"encoder_{manifest.encoder(number)}.onnx", f"velocity_{number}.onnx"
        encoder, velocity = (_graph(folder / name) for name in names)
        for prompt in PROMPTS:
            scene = _scene(manifest, prompt, rng)
            batch, feed = member.before(_given(scene, manifest)), coding.inputs(scene)
            noise = rng.standard_normal((1, manifest.horizon, manifest.width), dtype=np.float32)
            actions, passage = tap.sample(batch, torch.from_numpy(noise))
            _same("prompt", batch[TOKENS][0].numpy(), feed[TOKENS][0, : batch[TOKENS].shape[1]], prompt)
            _same("state", batch[STATE].numpy(), feed[STATE], manifest.state)
            restored = actions[0].numpy() * np.array(manifest.action_scale) + np.array(manifest.action_shift)
            _same("actions", member.after(actions)[0].numpy(), restored, "normaliser")
            context = dict(zip(CONTEXT, encoder.run(list(CONTEXT), feed), strict=True))
            gaps.append(_gap(actions, passage, noise, partial(_velocity, velocity, context), manifest))
    gap = Gap(*(max(column) for column in zip(*gaps, strict=True)))
    for name, most in (("actions", ACTIONS), ("batched", BATCHED)):
        if not getattr(gap, name) <= most:
            found = f"{getattr(gap, name):.1e}"
            raise InputError(f"{name} differ from LeRobot's", where="export", expected=f"at most {most:g}", found=found)
    return gap


def _gap(
    actions: Tensor, passage: Passage, noise: Array, velocity: Any, manifest: LeRobotManifest
) -> tuple[float, float]:
    """Differences of the actions that the graphs lead to, and of all velocities in one call; real columns alone."""
    x, steps, real = noise, manifest.flow_steps, slice(manifest.action_dim)
    for step in range(steps):
        x = x - velocity(x, np.array([1 - step / steps], np.float32)) / np.float32(steps)
    together = velocity(torch.cat(passage.states).numpy(), torch.cat(passage.times).numpy())
    one_by_one = torch.cat(passage.velocities).numpy()
    return (
        float(np.abs(x[..., real] - actions.numpy()).max()),
        float(np.abs(together - one_by_one)[..., real].max()),
    )


def _velocity(graph: Any, context: Mapping[str, NDArray[Any]], x: Array, t: Array) -> Array:
    value: Array = graph.run(["velocity"], {"x": x, "t": t, **context})[0]
    return value


def _graph(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _scene(manifest: LeRobotManifest, prompt: str, rng: np.random.Generator) -> dict[str, Any]:
    """An observation map; the state is about as far from its mean as states are."""
    scale, shift = np.array(manifest.state_scale), np.array(manifest.state_shift)
    state = (rng.standard_normal(len(scale)) - shift) / np.where(scale, scale, 1)
    images = {n: rng.integers(0, 256, (h, w, 3), np.uint8) for n, (_, h, w) in manifest.cameras.items()}
    return {PROMPT: prompt, manifest.state: state.astype(np.float32), **images}


def _given(scene: Mapping[str, Any], manifest: LeRobotManifest) -> dict[str, Any]:
    given: dict[str, Any] = {"task": scene[PROMPT], STATE: torch.from_numpy(scene[manifest.state])}
    for name, (feature, *_) in manifest.cameras.items():
        given[feature] = torch.from_numpy(scene[name]).permute(2, 0, 1).float() / 255
    return given


def _same(what: str, theirs: NDArray[Any], ours: NDArray[Any], where: str) -> None:
    if theirs.shape != ours.shape or not np.allclose(theirs, ours, rtol=1e-5, atol=1e-5):
        raise InputError(f"{what} would be another than LeRobot's", where=where, expected=theirs, found=ours)
