"""Exports LeRobot's SmolVLA, alone or as an ensemble, to ONNX: what runs then needs neither LeRobot nor torch.

A member becomes a graph of what it makes of an observation and one of its velocity, with float32 parameters; members
that look alike share the first. Normalisers and tokeniser become numbers of the manifest and a file beside it. All is
compared with LeRobot before any of it gets its name; what differs is not written.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vla_policy.lerobot_coding import STATE, TOKENISER, TOKENS, WORDS
from vla_policy.manifest import LeRobotManifest, sha256
from vla_server.lerobot.comparison import Gap, compare, seen
from vla_server.lerobot.graphs import CACHE, CONTEXT, Encoder, Velocity, numbers_counted
from vla_server.lerobot.loading import Member, normaliser, open_members
from vla_server.lerobot.manifest import EnsembleManifest
from vla_server.lerobot.tap import FlowTap
from vla_uq.errors import InputError

POLICY = "smolvla"
ROWS = 3
"""Rows that a graph is traced with."""


def export(source: Path, out: Path, preset: str) -> tuple[LeRobotManifest, Gap]:
    """Write a weights folder for the back end ``lerobot_onnx``.

    :param source: folder with ``ensemble.json``.
    :param out: folder that is not there yet.
    :param preset: see :class:`LeRobotManifest`.
    :returns: its manifest, and how far it is from LeRobot.
    :raises InputError: when the policy cannot be exported, or what comes out differs from LeRobot.
    """
    if out.exists():
        raise InputError("is there already", where=str(out), remedy="name a folder that is not")
    described = EnsembleManifest.load(source)
    members = open_members(source, described, "cpu")
    for member in members:
        member.policy.float()
    taps = [FlowTap(member.policy) for member in members]
    _check(taps[0])
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        manifest = _described(members, described, preset)
        _tokeniser(members[0]).save(str(folder / TOKENISER))
        _write(taps, manifest, members[0], folder)
        files = {path.name: sha256(path) for path in sorted(folder.iterdir())}
        manifest = replace(manifest, files=files)
        gap = compare(members, taps, manifest, folder)
        manifest.save(folder)
        folder.chmod(0o755)
        folder.replace(out)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return manifest, gap


def _check(tap: FlowTap) -> None:
    config, kind = tap.policy.config, tap.family
    smol = kind == POLICY
    rules = {
        "policy": (smol, POLICY, kind),
        "config.adapt_to_pi_aloha": (smol and not config.adapt_to_pi_aloha, False, True),
        "config.resize_imgs_with_padding": (smol and bool(config.resize_imgs_with_padding), "a size", None),
        STATE: (STATE in config.input_features, "a state", "none"),
    }
    for where, (fits, expected, found) in rules.items():
        if not fits:
            raise InputError("cannot be exported", where=where, expected=expected, found=found)


def _described(members: Sequence[Member], described: EnsembleManifest, preset: str) -> LeRobotManifest:
    """The manifest, without its files."""
    first, policy = members[0], members[0].policy
    config = policy.config
    cameras = {name: [one, *config.image_features[one].shape[1:]] for name, one in described.cameras.items()}
    sizes = {feature: (height, width) for feature, height, width in cameras.values()}
    state, action = config.input_features[STATE].shape[0], config.output_features["action"].shape[0]
    scale, shift = _affine(lambda value: first.before(seen(sizes, value, ""))[STATE], state)
    up, offset = _affine(first.after, action)
    width = int(policy.model.action_out_proj.in_features)
    return LeRobotManifest(
        members=len(members),
        horizon=int(config.chunk_size),
        action_dim=action,
        padded_dim=int(config.max_action_dim),
        flow_steps=int(config.num_steps),
        time="to_noise",
        velocity="to_noise",
        execute_steps=described.execute_steps,
        step_duration=float(described.step_duration),
        context=int(policy.model.vlm_with_expert.config.text_config.hidden_size),
        last_layer=2 * width,
        feature_slice=(0, 0),
        encoders=tuple(next(j for j, other in enumerate(members) if _look_alike(other, one)) for one in members),
        normalisers=tuple(normaliser(member) for member in members),
        action_scale=up,
        action_shift=offset,
        state_scale=scale,
        state_shift=shift,
        cameras=cameras,
        state=described.state,
        words=int(config.tokenizer_max_length),
        padding=int(_step(first).input_tokenizer.pad_token_id or 0),
        preset=preset,
        space=described.space,
        reference=described.reference,
        names=tuple(described.names),
        gripper=described.gripper,
        files={},
    )


def _step(member: Member) -> Any:
    return next(step for step in member.before.steps if hasattr(step, "input_tokenizer"))


def _tokeniser(member: Member) -> Any:
    tokeniser = getattr(_step(member).input_tokenizer, "backend_tokenizer", None)
    if tokeniser is None:
        raise InputError("cannot be exported", where="tokeniser", expected="one of the package tokenizers")
    return tokeniser


def _affine(normalise: Callable[[Tensor], Tensor], width: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scale and shift of each column: all of LeRobot's normalisers are affine."""
    zero, one = (normalise(torch.full((1, width), value, dtype=torch.float64))[0].double() for value in (0.0, 1.0))
    return tuple((one - zero).tolist()), tuple(zero.tolist())


def _look_alike(one: Member, other: Member) -> bool:
    """Whether two members make the same of an observation: all but the expert's parameters are equal."""
    mine, theirs = ({k: v for k, v in member.policy.state_dict().items() if _looks(k)} for member in (one, other))
    return one is other or all(torch.equal(value, theirs[name]) for name, value in mine.items())


def _looks(name: str) -> bool:
    return ".vlm." in name or ".state_proj." in name


def _write(taps: Sequence[FlowTap], manifest: LeRobotManifest, first: Member, folder: Path) -> None:
    names = [*(feature for feature, *_ in manifest.cameras.values()), STATE, TOKENS, WORDS]
    sizes = {feature: (height, width) for feature, height, width in manifest.cameras.values()}
    batch = first.before(seen(sizes, torch.zeros(1, len(manifest.state_scale)), ""))
    words = torch.zeros(1, manifest.words, dtype=torch.long)
    row = {**batch, TOKENS: words, WORDS: words == 0}
    values = tuple(row[name].repeat(ROWS, *[1] * (row[name].ndim - 1)) for name in names)
    for number, tap in enumerate(taps):
        encoder = Encoder(tap, names)
        if manifest.encoder(number) == number:
            _trace(encoder, values, names, [*CONTEXT, "prefix"], folder / f"encoder_{number}.onnx")
        with torch.no_grad():
            context = encoder(*(value[:1] for value in values))[: len(CONTEXT)]
        velocity = Velocity(tap, type(tap.prefix(batch).arguments[CACHE]))
        noise = torch.randn(ROWS, manifest.horizon, manifest.width)
        path, inputs = folder / f"velocity_{number}.onnx", ["x", "t", *CONTEXT]
        _trace(velocity, (noise, torch.rand(ROWS), *context), inputs, ["velocity", "last_layer"], path)


def _trace(module: nn.Module, values: tuple[Tensor, ...], inputs: list[str], outputs: list[str], path: Path) -> None:
    """Write a graph whose first axis is free; the context of a velocity has one of its own, of one row or of all."""
    rows = {name: {0: "context" if name in CONTEXT else "rows"} for name in [*inputs, *outputs]}
    with warnings.catch_warnings(), numbers_counted():
        warnings.simplefilter("ignore")  # the TorchScript exporter is the one that knows these modules
        torch.onnx.export(
            module.eval(), values, str(path), input_names=inputs, output_names=outputs, dynamic_axes=rows,
            opset_version=17, dynamo=False,
        )  # fmt: skip
