"""Members that are adapters on one policy: W + (alpha / r) B A, put into its parameters (LoRA, arXiv 2106.09685).

Adapters of the plain kind are files that can be read without the package that wrote them. Compare adapters with each
other, never with the policy that they are put on: it has seen other data than they.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from vla_server.lerobot.manifest import ADAPTER, ADAPTER_CONFIG
from vla_uq.errors import InputError

PREFIX = "base_model.model."
OTHER_KINDS = ("use_dora", "rank_pattern", "alpha_pattern", "fan_in_fan_out", "lora_bias", "layer_replication")
"""Settings under which the formula is another one."""


def put_on(policy: Any, folder: Path) -> None:
    """Put an adapter into a policy's parameters.

    :raises InputError: when it is of another kind, or does not fit the policy.
    """
    where = folder / ADAPTER_CONFIG
    try:
        config, tensors = json.loads(where.read_text(encoding="utf-8")), load_file(folder / ADAPTER)
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError("adapter cannot be read", where=str(folder), found=str(error)) from error
    set_ones = [name for name in OTHER_KINDS if config.get(name)]
    if config.get("peft_type") != "LORA" or set_ones or config.get("bias", "none") != "none" or rank < 1:
        found = ", ".join([str(config.get("peft_type")), *set_ones])
        raise InputError("not a plain LoRA adapter", where=str(where), expected="LORA", found=found)
    scale, parameters = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank), dict(policy.named_parameters())
    with torch.no_grad():
        for key, value in tensors.items():
            name = key.removeprefix(PREFIX)
            if name.endswith(".lora_B.weight"):
                continue
            down = name.endswith(".lora_A.weight")
            target = name.removesuffix(".lora_A.weight") + ".weight" if down else name
            if down:
                value = scale * (tensors[key.replace(".lora_A.", ".lora_B.")] @ value)
            if target not in parameters or parameters[target].shape != value.shape:
                found = f"{key} {tuple(value.shape)}"
                raise InputError("adapter does not fit the policy", where=str(folder), found=found)
            if down:
                parameters[target] += value.to(parameters[target])
            else:
                parameters[target].copy_(value)
