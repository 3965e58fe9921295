"""A flow-matching ensemble exported to ONNX: one encoder and one velocity graph a member.

Member 0 samples; everything else waits until its actions have left. The other members then see the same observation
through their own encoders and evaluate all nodes of member 0's path in one batched call each, so that VFD costs one
evaluation a node (Eq. 8 and 9 of VFD, flow_uncertainty §1.6); the node t = 0 has weight zero and is skipped.

More is recorded when asked: further chunks of every member, for scores of sample consistency, and the last hidden
layer along the path, for a last-layer posterior. Neither changes what the policy does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from policy_node.backends.base import Inference
from policy_node.backends.body import Body
from policy_node.backends.graphs import Opener, check_manifest, observed, try_out
from vla_policy.manifest import FILE, FlowManifest
from vla_policy.observation import Observation
from vla_uq.errors import InputError
from vla_uq.flow.ensemble import cross_evaluate
from vla_uq.flow.quadrature import grid
from vla_uq.flow.sampling import SampleTrace, VelocityField, euler
from vla_uq.wire import Array

TENSORS = ("features", "flow_times", "velocities")


@dataclass(frozen=True, eq=False)
class _Graphs:
    """One encoder and one velocity session a member."""

    encoders: list[Any]
    velocities: list[Any]


def _open(folder: Path, device: str) -> tuple[FlowManifest, _Graphs]:
    """Read the manifest, open every graph and run each once, which also spares the first inference the warm-up.

    :raises InputError: naming the file and the field that is missing or does not fit.
    """
    manifest = FlowManifest.load(folder)
    check_manifest(manifest, folder / FILE, ("flow_steps",))
    opener, graphs, flat = Opener(device), _Graphs([], []), manifest.horizon * manifest.action_dim
    for member in range(manifest.members):
        path = folder / f"encoder_{member}.onnx"
        graphs.encoders.append(opener(path, manifest))
        context = try_out(graphs.encoders[-1], observed(), [(1, manifest.context)], path)[0]
        path = folder / f"velocity_{member}.onnx"
        graphs.velocities.append(opener(path, manifest))
        for rows in (1, manifest.flow_steps):
            inputs = {
                "x": np.zeros((rows, flat), np.float32),
                "t": np.zeros(rows, np.float32),
                "context": np.repeat(context, rows, axis=0),
            }
            try_out(graphs.velocities[-1], inputs, [(rows, flat), (rows, manifest.last_layer)], path)
    return manifest, graphs


@dataclass(frozen=True, eq=False)
class _Memory:
    """What an inference leaves behind to be introspected.

    :param inputs: of the encoders.
    :param context: (1, C) of member 0.
    :param trace: member 0's path over all nodes.
    :param layers: (width,) last hidden layer of member 0 at each node.
    :param noise: (draws − 1, H, 7) where the further draws start; drawn when acting, so that introspecting twice
        gives the same twice.
    """

    inputs: Mapping[str, Array]
    context: Array
    trace: SampleTrace
    layers: list[Array]
    noise: Array


class OnnxBackend:
    """The policy in a weights folder: ``manifest.json``, ``encoder_<i>.onnx``, ``velocity_<i>.onnx``.

    Graphs: encoder (agentview (B, 3, S, S), wrist, proprio (B, 11), text (B, 48)) → context (B, C); velocity
    (x (N, H·7), t (N,), context (N, C)) → velocity (N, H·7), last layer (N, width).

    :param path: the folder.
    :param device: ``cpu`` or ``cuda``.
    :param draws: chunks that each member samples for the trace; 1 records only what was executed.
    :param last_layer: record the last hidden layer along member 0's path.
    :raises InputError: when the folder, a graph or the device cannot be used, naming it, or an option is wrong.
    """

    def __init__(self, path: Path, device: str = "cpu", draws: int = 1, last_layer: bool = False) -> None:
        if draws < 1:
            raise InputError("out of range", where="draws", expected="at least 1", found=draws)
        manifest, self._graphs = _open(path, device)
        self._manifest, self._draws, self._last_layer = manifest, draws, last_layer
        self.times = grid(manifest.flow_steps)
        self._body = Body(manifest)
        self._rng = self._further = np.random.default_rng()
        optional = {"samples": draws > 1, "last_layer": last_layer}
        self.info = self._body.spec("onnx", (*TENSORS, *(name for name, asked in optional.items() if asked)))

    def reset(self, instruction: str, seed: int | None) -> None:
        """See :meth:`Backend.reset`."""
        self._body.reset(instruction)
        own = np.random.SeedSequence(seed)
        # The further draws have a stream of their own: the executed chunk is the same with and without them.
        self._rng, self._further = np.random.default_rng(own), np.random.default_rng(own.spawn(1)[0])

    def act(self, observation: Observation) -> Inference:
        """See :meth:`Backend.act`: one encoder call and ``flow_steps`` calls of one row."""
        manifest, inputs = self._manifest, self.inputs(observation)
        context, layers = self.prefix(0, inputs), list[Array]()
        shape = manifest.horizon, manifest.action_dim
        noise = self._rng.standard_normal((1, *shape), dtype=np.float32)
        further = self._further.standard_normal((self._draws - 1, *shape), dtype=np.float32)
        trace = euler(self.field(0, context, layers), noise, self.times)
        return Inference(*self._body.execute(trace.final[0]), _Memory(inputs, context, trace, layers, further))

    def introspect(self, inference: Inference) -> dict[str, Array]:
        """See :meth:`Backend.introspect`.

        :returns: ``features`` (part of the context, last layer at the first and at the last node), ``flow_times``
            (K,) without t = 0, ``velocities`` (1, members, 1, K, horizon, 7) on member 0's path, normalised units.
            When asked: ``samples`` (members, draws, horizon, 7), normalised, draw d of every member from the same
            noise and [0, 0] the executed chunk; ``last_layer`` (K, 1, width), one vector for the whole chunk.
        """
        memory, manifest = cast(_Memory, inference.memory), self._manifest
        # Member 0's velocities are in its record: it is not called again.
        contexts = [memory.context, *(self.prefix(member, memory.inputs) for member in range(1, manifest.members))]
        fields = [self.field(member, context) for member, context in enumerate(contexts)]
        features = (memory.context[0, slice(*manifest.feature_slice)], memory.layers[0], memory.layers[-1])
        tensors = {
            "features": np.concatenate(features),
            "flow_times": memory.trace.times[1:].astype(np.float32),
            "velocities": cross_evaluate(fields, memory.trace)[None].astype(np.float32, copy=False),
        }
        if self._draws > 1:
            tensors["samples"] = self._samples(fields, memory)
        if self._last_layer:
            tensors["last_layer"] = np.stack(memory.layers[1:])[:, None]
        return tensors

    def _samples(self, fields: Sequence[VelocityField], memory: _Memory) -> Array:
        """Chunks of every member (members, draws, H, 7); the one that member 0 executed is not sampled again."""
        executed = memory.trace
        noise = np.concatenate([executed.states[0], memory.noise])
        own = np.concatenate([executed.final, euler(fields[0], memory.noise, self.times).final])
        return np.stack([own, *(euler(field, noise, self.times).final for field in fields[1:])])

    def inputs(self, observation: Observation) -> dict[str, Array]:
        """See :meth:`Body.inputs`."""
        return self._body.inputs(observation)

    def prefix(self, member: int, inputs: Mapping[str, Array]) -> Array:
        """A member's context (1, C) of an observation."""
        context: Array = self._graphs.encoders[member].run(None, inputs)[0]
        return context

    def field(self, member: int, context: Array, layers: list[Array] | None = None) -> VelocityField:
        """A member's velocity (B, H, 7), at states (B, H, 7) and times (B,), under a context (1, C).

        :param layers: takes the last hidden layer (width,) of each call's first row.
        """
        graph = self._graphs.velocities[member]

        def velocity(x: NDArray[Any], t: NDArray[Any]) -> NDArray[Any]:
            rows = len(x)
            repeated = context if rows == 1 else np.repeat(context, rows, axis=0)
            outputs = graph.run(None, {"x": x.reshape(rows, -1), "t": t, "context": repeated})
            if layers is not None:
                layers.append(outputs[1][0])
            value: NDArray[Any] = outputs[0].reshape(x.shape)
            return value

        return velocity
