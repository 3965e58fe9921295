"""Registry of policy back ends: name to ``module:Class``, imported when asked for."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any, cast

from policy_node.backends.base import Backend, BackendError, Inference, PolicySpec
from vla_policy.manifest import back_end_of
from vla_uq.errors import InputError

__all__ = ["BACKENDS", "Backend", "BackendError", "Inference", "PolicySpec", "load"]

BACKENDS: dict[str, str] = {
    "lerobot_onnx": "policy_node.backends.lerobot_onnx:LeRobotBackend",
    "onnx": "policy_node.backends.onnx:OnnxBackend",
    "openpi": "policy_node.backends.openpi:OpenpiBackend",
    "scripted": "policy_node.backends.scripted:ScriptedBackend",
    "tokens": "policy_node.backends.tokens:TokensBackend",
    "torch": "policy_node.backends.torch:TorchBackend",
    "transformers_ar": "policy_node.backends.transformers_ar:TransformersBackend",
}


def load(name: str, path: str | Path, **options: Any) -> Backend:
    """Open a policy.

    :param name: back end, a key of ``BACKENDS``; empty: the one that the weights' manifest names.
    :param path: weights; what it means is the back end's business.
    :param options: keyword arguments of the back end's class, such as ``device``.
    :raises InputError: on an unknown back end or option, or weights that it cannot run.
    """
    name = name or back_end_of(Path(path))
    if name not in BACKENDS:
        raise InputError("unknown back end", where="back_end", expected=" or ".join(sorted(BACKENDS)), found=repr(name))
    module, _, attribute = BACKENDS[name].partition(":")
    factory = getattr(importlib.import_module(module), attribute)
    offered = list(inspect.signature(factory).parameters)[1:]
    for option in options:
        if option not in offered:
            raise InputError(f"back end {name} has no such option", where=option, expected=", ".join(offered))
    return cast(Backend, factory(Path(path), **options))
