"""Registry of policy back ends: name to ``module:Class``, imported when asked for."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, cast

from policy_node.backends.base import Backend, Inference, PolicySpec
from vla_uq.errors import InputError

__all__ = ["BACKENDS", "Backend", "Inference", "PolicySpec", "load"]

BACKENDS: dict[str, str] = {"onnx": "policy_node.backends.onnx:OnnxBackend"}


def load(name: str, path: str | Path, **options: Any) -> Backend:
    """Open a policy.

    :param name: back end, a key of ``BACKENDS``.
    :param path: weights; what it means is the back end's business.
    :param options: keyword arguments of the back end's class, such as ``device``.
    :raises InputError: on an unknown back end, or weights that it cannot run.
    """
    if name not in BACKENDS:
        raise InputError("unknown back end", where="back_end", expected=" or ".join(sorted(BACKENDS)), found=repr(name))
    module, _, attribute = BACKENDS[name].partition(":")
    return cast(Backend, getattr(importlib.import_module(module), attribute)(Path(path), **options))
