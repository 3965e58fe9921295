"""A policy without networks, for trying out what watches it: its VFD is known, and it fails when it is told to.

Member 0's field leads from any noise to one chunk; the others' differ from it by constants o_m. One-way VFD over the
nodes t_k is then Σ_k w(t_k) dt_k · H · A · mean of o_m² over the other members, whatever the noise.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from policy_node.backends.base import BackendError, Inference
from policy_node.backends.flow import FlowBackend, Recording
from policy_node.backends.graphs import are_numbers, check, check_flow, is_number
from vla_policy.manifest import FILE, ScriptedManifest
from vla_policy.observation import PROPRIO, Observation
from vla_uq.errors import InputError
from vla_uq.flow.sampling import VelocityField
from vla_uq.wire import Array

FAULTS = {
    "raise": "the inference fails",
    "hang": "it never answers",
    "late S": "it answers S seconds later",
    "nan": "its actions are not finite",
    "mute": "it acts, and its introspection fails",
}
"""What may go wrong with an inference."""


class ScriptedBackend(FlowBackend):
    """The policy in a folder with nothing but a ``manifest.json``, see :class:`ScriptedManifest`.

    Inferences are counted from 0 over the life of the process. The context is the proprioception.

    :param path: the folder.
    :param device: is not used: everything is arithmetic.
    :param draws: ``nodes``, ``paths``: see :class:`Recording`.
    :raises InputError: when the manifest does not fit, or names a fault that is none of ``FAULTS``.
    """

    name = "scripted"

    def __init__(self, path: Path, device: str = "cpu", draws: int = 1, nodes: int = 0, paths: int = 1) -> None:
        recording = Recording(draws, nodes=nodes, paths=paths)
        manifest, where = ScriptedManifest.load(path), path / FILE
        check_flow(manifest, where)
        width = manifest.width
        check(manifest, where, "chunk", are_numbers(manifest.chunk, width), f"{width} numbers")
        check(manifest, where, "offsets", are_numbers(manifest.offsets, manifest.members), "a number a member")
        check(manifest, where, "context", manifest.context == PROPRIO, f"{PROPRIO}, the proprioception")
        self._faults = {number: _fault(kind, where) for number, kind in manifest.faults.items()}
        self._chunk = np.asarray(manifest.chunk, np.float32)
        self._offsets, self._count = manifest.offsets, 0
        self._closed = threading.Event()
        super().__init__(manifest, recording, layered=False)

    def act(self, observation: Observation) -> Inference:
        """See :meth:`Backend.act`."""
        kind, seconds = self._faults.get(str(self._count), ("", 0.0))
        self._count += 1
        if kind in ("hang", "late"):
            self._closed.wait(seconds if kind == "late" else None)
        if kind in ("raise", "hang"):
            raise BackendError(f"inference {self._count - 1} was told to {kind}")
        inference = super().act(observation)
        if kind == "nan":
            return Inference(np.full_like(inference.actions, np.nan), inference.gripper, inference.memory)
        return Inference(inference.actions, inference.gripper) if kind == "mute" else inference

    def introspect(self, inference: Inference) -> dict[str, Array]:
        """See :meth:`Backend.introspect`."""
        if inference.memory is None:
            raise BackendError("the introspection was told to fail")
        return super().introspect(inference)

    def close(self) -> None:
        """See :meth:`Backend.close`."""
        self._closed.set()

    def prefix(self, member: int, inputs: Mapping[str, Array]) -> Array:
        """The proprioception (1, 11)."""
        return inputs["proprio"]

    def network(self, member: int, context: Array, layers: list[Array] | None = None) -> VelocityField:
        """See :meth:`FlowBackend.network`; in the convention that the manifest claims."""
        manifest, offset = self._manifest, np.float32(self._offsets[member])
        backwards = manifest.time == "to_noise"
        sign = np.float32(-1 if manifest.velocity == "to_noise" else 1)

        def velocity(x: Array, t: Array) -> Array:
            left = (t if backwards else 1 - t)[:, None, None]
            value: Array = sign * ((self._chunk - x) / left + offset)
            return value

        return velocity

    def features(self, context: Array) -> Array:
        """See :meth:`FlowBackend.features`."""
        return context[0]


def _fault(text: str, where: Path) -> tuple[str, float]:
    """A fault's kind and its seconds.

    :raises InputError: when it is none.
    """
    kind, _, rest = text.partition(" ") if isinstance(text, str) else ("", "", "")
    try:
        seconds = float(rest or 0)
    except ValueError:
        seconds = -1.0
    known = {name.partition(" ")[0] for name in FAULTS}
    if kind not in known or bool(rest) != (kind == "late") or not is_number(seconds) or seconds < 0:
        raise InputError("unknown fault", where=f"{where}: faults", expected=", ".join(FAULTS), found=repr(text))
    return kind, seconds
