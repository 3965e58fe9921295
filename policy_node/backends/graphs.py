"""The graphs of a weights folder, opened and tried out: what does not fit is found when the node is configured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime

from vla_policy.instruction import TEXT
from vla_policy.manifest import FILE, Manifest
from vla_policy.observation import CAMERAS, IMAGE_SIZE, PROPRIO
from vla_uq.errors import InputError
from vla_uq.wire import Array

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
REMEDY = "copy the whole weights folder again, or remake it with `vla-monitor train-policy`"
COUNTS = ("members", "horizon", "action_dim", "flow_steps", "execute_steps", "context", "last_layer", "image_size")
AMOUNTS = ("step_duration", "position_step", "rotation_step")


@dataclass(frozen=True, eq=False)
class Graphs:
    """One encoder and one velocity session a member."""

    encoders: list[Any]
    velocities: list[Any]


def open_graphs(folder: Path, device: str) -> tuple[Manifest, Graphs]:
    """Read the manifest, open every graph and run each once, which also spares the first inference the warm-up.

    :param device: ``cpu`` or ``cuda``.
    :raises InputError: naming the file and the field that is missing or does not fit.
    """
    manifest = Manifest.load(folder)
    _check_manifest(manifest, folder / FILE)
    opener = _Opener(device)
    feed = {name: np.zeros((1, 3, IMAGE_SIZE, IMAGE_SIZE), np.float32) for name in CAMERAS}
    feed |= {"proprio": np.zeros((1, PROPRIO), np.float32), "text": np.zeros((1, TEXT), np.float32)}
    graphs = Graphs([], [])
    flat = manifest.horizon * manifest.action_dim
    for member in range(manifest.members):
        path = folder / f"encoder_{member}.onnx"
        graphs.encoders.append(opener(path, manifest))
        context = _try_out(graphs.encoders[-1], feed, [(1, manifest.context)], path)[0]
        path = folder / f"velocity_{member}.onnx"
        graphs.velocities.append(opener(path, manifest))
        for rows in (1, manifest.flow_steps):
            inputs = {
                "x": np.zeros((rows, flat), np.float32),
                "t": np.zeros(rows, np.float32),
                "context": np.repeat(context, rows, axis=0),
            }
            _try_out(graphs.velocities[-1], inputs, [(rows, flat), (rows, manifest.last_layer)], path)
    return manifest, graphs


def _check_manifest(manifest: Manifest, path: Path) -> None:
    def check(fits: bool, name: str, expected: str) -> None:
        if not fits:
            found = getattr(manifest, name)
            raise InputError("wrong field", where=f"{path}: {name}", expected=expected, found=found, remedy=REMEDY)

    for name in COUNTS:
        value = getattr(manifest, name)
        check(type(value) is int and value > 0, name, "a positive integer")
    for name in AMOUNTS:
        check(_is_number(getattr(manifest, name)) and getattr(manifest, name) > 0, name, "a positive number")
    check(manifest.action_dim == 7, "action_dim", "7: position, rotation, gripper")
    check(manifest.execute_steps <= manifest.horizon, "execute_steps", f"at most the horizon, {manifest.horizon}")
    check(manifest.image_size == IMAGE_SIZE, "image_size", f"{IMAGE_SIZE}, as observations are encoded")
    scale, span = manifest.action_scale, manifest.feature_slice
    check(len(scale) == 7 and all(map(_is_number, scale)), "action_scale", "7 numbers")
    check(
        len(span) == 2 and all(type(n) is int for n in span) and 0 <= span[0] < span[1] <= manifest.context,
        "feature_slice",
        f"first and last + 1 within {manifest.context}",
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


class _Opener:
    """Opens graphs on a device: one thread each, so that a policy's timing does not depend on its neighbours."""

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


def _try_out(graph: Any, feed: Mapping[str, Array], shapes: list[tuple[int, ...]], path: Path) -> list[Array]:
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
