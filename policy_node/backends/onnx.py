"""A flow-matching ensemble exported to ONNX: an encoder, its own or a shared one, and a velocity graph a member."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_node.backends.flow import FlowBackend, Recording
from policy_node.backends.graphs import Opener, check_flow, observed, try_out
from vla_policy.manifest import FILE, FlowManifest
from vla_uq.flow.sampling import VelocityField
from vla_uq.wire import Array


class OnnxBackend(FlowBackend):
    """The policy in a weights folder: ``manifest.json``, ``encoder_<i>.onnx``, ``velocity_<i>.onnx``.

    Graphs: encoder (agentview (B, 3, S, S), wrist, proprio (B, 11), text (B, 48)) → context (B, C); velocity
    (x (N, H·A), t (N,), context (N, C)) → velocity (N, H·A), last layer (N, width).

    :param path: the folder.
    :param device: ``cpu`` or ``cuda``.
    :param draws: ``last_layer``, ``nodes``, ``paths``: see :class:`Recording`.
    :raises InputError: when the folder, a graph or the device cannot be used, naming it, or an option is wrong.
    """

    name = "onnx"

    def __init__(
        self,
        path: Path,
        device: str = "cpu",
        draws: int = 1,
        last_layer: bool = False,
        nodes: int = 0,
        paths: int = 1,
    ) -> None:
        recording = Recording(draws, last_layer, nodes, paths)
        manifest = FlowManifest.load(path)
        check_flow(manifest, path / FILE)
        super().__init__(manifest, recording)
        self._open(path, Opener(device))

    def _open(self, folder: Path, opener: Opener) -> None:
        """Open every graph and run each once, which also spares the first inference the warm-up."""
        manifest = self._manifest
        flat = manifest.horizon * manifest.width
        self._encoders: dict[int, Any] = {}
        self._velocities: list[Any] = []
        for member in range(manifest.members):
            number = manifest.encoder(member)
            path = folder / f"encoder_{number}.onnx"
            if number not in self._encoders:
                self._encoders[number] = opener(path, manifest)
            context = try_out(self._encoders[number], observed(), [(1, manifest.context)], path)[0]
            path = folder / f"velocity_{member}.onnx"
            self._velocities.append(opener(path, manifest))
            for rows in (1, manifest.flow_steps):
                inputs = {
                    "x": np.zeros((rows, flat), np.float32),
                    "t": np.zeros(rows, np.float32),
                    "context": np.repeat(context, rows, axis=0),
                }
                try_out(self._velocities[-1], inputs, [(rows, flat), (rows, manifest.last_layer)], path)

    def prefix(self, member: int, inputs: Mapping[str, Array]) -> Array:
        """A member's context (1, C) of an observation."""
        context: Array = self._encoders[self._manifest.encoder(member)].run(None, inputs)[0]
        return context

    def network(self, member: int, context: Array, layers: list[Array] | None = None) -> VelocityField:
        """See :meth:`FlowBackend.network`."""
        graph = self._velocities[member]

        def velocity(x: NDArray[Any], t: NDArray[Any]) -> NDArray[Any]:
            rows = len(x)
            repeated = context if rows == 1 else np.repeat(context, rows, axis=0)
            outputs = graph.run(None, {"x": x.reshape(rows, -1), "t": t, "context": repeated})
            if layers is not None:
                layers.append(outputs[1][0])
            value: NDArray[Any] = outputs[0].reshape(x.shape)
            return value

        return velocity

    def features(self, context: Array) -> Array:
        """See :meth:`FlowBackend.features`."""
        return context[0]
