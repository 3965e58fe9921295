"""Graphs of a weights folder, opened and tried out: what does not fit is found when the node is configured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime

from vla_policy.instruction import TEXT
from vla_policy.manifest import FILE, FlowManifest, Manifest, normaliser
from vla_policy.observation import CAMERAS, IMAGE_SIZE, PROPRIO
from vla_uq.errors import InputError
from vla_uq.wire import Array

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
REMEDY = "copy the whole weights folder again, or remake it with `vla-monitor train-policy`"
COUNTS = ("members", "horizon", "action_dim", "execute_steps", "context", "last_layer", "image_size")
AMOUNTS = ("step_duration", "position_step", "rotation_step")


def check_manifest(manifest: Manifest, path: Path, counts: Sequence[str] = ()) -> None:
    """Check what every policy's manifest says.

    :param path: of the manifest.
    :param counts: further fields that must be positive integers.
    :raises InputError: naming the field that does not fit.
    """
    for name in (*COUNTS, *counts):
        value = getattr(manifest, name)
        check(manifest, path, name, type(value) is int and value > 0, "a positive integer")
    for name in AMOUNTS:
        value = getattr(manifest, name)
        check(manifest, path, name, is_number(value) and value > 0, "a positive number")
    steps, horizon, scale, span = (
        manifest.execute_steps,
        manifest.horizon,
        manifest.action_scale,
        manifest.feature_slice,
    )
    check(manifest, path, "action_dim", manifest.action_dim == 7, "7: position, rotation, gripper")
    check(manifest, path, "execute_steps", steps <= horizon, f"at most the horizon, {horizon}")
    check(manifest, path, "image_size", manifest.image_size == IMAGE_SIZE, f"{IMAGE_SIZE}, as observations are encoded")
    check(manifest, path, "action_scale", are_numbers(scale, 7), "7 numbers")
    inside = are_numbers(span, 2) and all(type(n) is int for n in span) and 0 <= span[0] < span[1] <= manifest.context
    check(manifest, path, "feature_slice", inside, f"first and last + 1 within {manifest.context}")


def check_flow(manifest: FlowManifest, path: Path) -> None:
    """Check what every flow policy's manifest says.

    :param path: of the manifest.
    :raises InputError: naming the field that does not fit, or the member whose statistics are not those of the others.
    """
    check_manifest(manifest, path, ("flow_steps",))
    members, width, encoders = manifest.members, manifest.padded_dim, manifest.encoders
    check(manifest, path, "flow_steps", manifest.flow_steps > 1, "at least 2: the node t = 0 says nothing")
    fits = type(width) is int and (width == 0 or width >= manifest.action_dim)
    check(manifest, path, "padded_dim", fits, f"0, or at least action_dim, {manifest.action_dim}")
    fits = len(encoders) in (0, members) and all(type(n) is int and 0 <= n < members for n in encoders)
    check(manifest, path, "encoders", fits, f"none, or {members} numbers of encoders below {members}")
    try:
        manifest.convention  # noqa: B018
    except InputError as error:
        raise error.at(str(path)) from error
    check(manifest, path, "normalisers", len(manifest.normalisers) in (0, members), f"none, or {members}")
    own = normaliser(manifest.action_scale)
    for member, found in enumerate(manifest.normalisers):
        if found != own:
            raise InputError(
                f"member {member} was trained with another normaliser, so that its velocities mean something else",
                where=f"{path}: normalisers",
                expected=own,
                found=found,
                remedy="train the members with the same action statistics",
            )


def check(manifest: Manifest, path: Path, name: str, fits: bool, expected: str) -> None:
    """:raises InputError: naming a field of the manifest, unless it fits."""
    if not fits:
        found = getattr(manifest, name)
        raise InputError("wrong field", where=f"{path}: {name}", expected=expected, found=found, remedy=REMEDY)


def are_numbers(value: Any, count: int) -> bool:
    """Whether a field of the manifest is a list of so many finite numbers."""
    return isinstance(value, tuple) and len(value) == count and all(map(is_number, value))


def observed() -> dict[str, Array]:
    """One black observation, as encoders take it."""
    feed = {name: np.zeros((1, 3, IMAGE_SIZE, IMAGE_SIZE), np.float32) for name in CAMERAS}
    return feed | {"proprio": np.zeros((1, PROPRIO), np.float32), "text": np.zeros((1, TEXT), np.float32)}


def is_number(value: Any) -> bool:
    """Whether a field of the manifest is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)


class Opener:
    """Opens graphs on a device: one thread each, so that a policy's timing does not depend on its neighbours.

    :param device: ``cpu`` or ``cuda``.
    :raises InputError: when it is unknown or not available.
    """

    def __init__(self, device: str) -> None:
        if device not in PROVIDERS:
            raise InputError("unknown device", where="device", expected=" or ".join(PROVIDERS), found=repr(device))
        available = onnxruntime.get_available_providers()
        if PROVIDERS[device] not in available:
            raise InputError(
                "device is not available",
                where="device",
                expected=PROVIDERS[device],
                found=", ".join(available),
                remedy="install the extra [gpu], or set device to cpu",
            )
        self._providers = [PROVIDERS[device]]
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = self._options.inter_op_num_threads = 1
        self._options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        self._options.log_severity_level = 3

    def __call__(self, path: Path, manifest: Manifest) -> Any:
        if path.name not in manifest.files:
            raise InputError(
                "graph is not listed", where=f"{path.parent / FILE}: files", expected=path.name, remedy=REMEDY
            )
        try:
            return onnxruntime.InferenceSession(str(path), self._options, providers=self._providers)
        # onnxruntime's own exceptions share no base class but Exception.
        except Exception as error:
            raise InputError("cannot be opened", where=str(path), found=_first_line(error), remedy=REMEDY) from error


def try_out(graph: Any, feed: Mapping[str, Array], shapes: list[tuple[int, ...]], path: Path) -> list[Array]:
    """Run a graph once.

    :param shapes: that its outputs must have.
    :raises InputError: when inputs, outputs or sizes are not those of the manifest.
    """
    names = [value.name for value in graph.get_inputs()]
    if sorted(names) != sorted(feed):
        raise _misfit(path, "inputs " + ", ".join(feed), ", ".join(names))
    try:
        outputs = cast(list[Array], graph.run(None, dict(feed)))
    except Exception as error:
        raise _misfit(path, "the sizes of the manifest", _first_line(error)) from error
    found = [value.shape for value in outputs]
    if found != shapes:
        raise _misfit(path, f"outputs {shapes}", str(found))
    return outputs


def _misfit(path: Path, expected: str, found: str) -> InputError:
    return InputError("graph does not fit the manifest", where=str(path), expected=expected, found=found, remedy=REMEDY)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
