"""Opening what LeRobot's trainer wrote: a policy and its processors, with all that may silently go wrong checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from vla_server.lerobot.adapters import put_on
from vla_server.lerobot.environment import check_version, prepare
from vla_server.lerobot.manifest import ADAPTER, WEIGHTS, EnsembleManifest
from vla_uq.errors import InputError

OUT = "model.action_out_proj.weight"


@dataclass(frozen=True, eq=False)
class Member:
    """One policy with what stands before and behind it.

    :param before: observation to batch; ``after``: normalised actions to robot units.
    """

    policy: Any
    before: Any
    after: Any


def open_members(folder: Path, manifest: EnsembleManifest, device: str) -> list[Member]:
    """Open all members of an ensemble.

    :raises InputError: when one cannot be opened, or their normalisers differ: their velocities could not be compared.
    """
    members = []
    for name in manifest.members:
        adapter = (folder / name / ADAPTER).is_file()
        if adapter and not manifest.base:
            raise InputError("an adapter without a policy to put it on", where="base", found=name)
        member = _open(folder / (manifest.base if adapter else name), device)
        if adapter:
            put_on(member.policy, folder / name)
        members.append(member)
    hashes = [normaliser(member) for member in members]
    if len(set(hashes)) > 1:
        raise InputError(
            "members were trained with different normalisers, so that their velocities cannot be compared",
            where=str(folder),
            expected=hashes[0],
            found=", ".join(hashes[1:]),
            remedy="train all members with the statistics of one data set",
        )
    return members


def normaliser(member: Member) -> str:
    """Identity of a member's statistics, 16 hexadecimal digits."""
    state = hashlib.blake2b(digest_size=8)
    for pipeline in (member.before, member.after):
        for step in pipeline.steps:
            if "normalizer" in type(step).__name__.lower():
                state.update(repr(sorted((str(k), str(v)) for k, v in step.norm_map.items())).encode())
                for name, value in sorted(step.state_dict().items()):
                    state.update(name.encode() + value.to(torch.float64).numpy().tobytes())
    return state.hexdigest()


def _open(folder: Path, device: str) -> Member:
    version = prepare()
    from lerobot.configs.policies import PreTrainedConfig
    from lerobot.policies.factory import get_policy_class, make_pre_post_processors

    try:
        config = PreTrainedConfig.from_pretrained(str(folder))
        check_version(config.type, version)
        config.device = device
        if hasattr(config, "compile_model"):
            config.compile_model = False  # it compiles what is tapped
        policy = get_policy_class(config.type).from_pretrained(str(folder), config=config)
        overrides = {"device_processor": {"device": device}}
        before, after = make_pre_post_processors(config, pretrained_path=str(folder), preprocessor_overrides=overrides)
    except InputError:
        raise
    # LeRobot, draccus, transformers and safetensors share no exception of their own.
    except Exception as error:
        found = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError("LeRobot cannot open this policy", where=str(folder), found=found) from error
    _check_loaded(policy, folder / WEIGHTS)
    return Member(policy.to(device).eval(), before, after)


def _check_loaded(policy: Any, path: Path) -> None:
    """:raises InputError: when the policy's parameters are not the file's: some loaders only print that they failed."""
    with safe_open(str(path), "pt") as file:
        names = set(file.keys())
        name = next((name for name in (OUT, OUT.removeprefix("model.")) if name in names), None)
        stored = file.get_tensor(name) if name else None
    held = policy.model.action_out_proj.weight.detach().cpu()
    if stored is None or not torch.equal(stored.to(held.dtype), held):
        raise InputError("weights were not loaded", where=str(path), expected=OUT, found=name or "nothing")
