"""A flow-matching ensemble exported to ONNX: one encoder and one velocity graph a member.

Member 0 samples; everything else waits until its actions have left. The other members then see the same observation
through their own encoders and evaluate all nodes of member 0's path in one batched call each, so that VFD costs one
evaluation a node (Eq. 8 and 9 of VFD, flow_uncertainty §1.6); the node t = 0 has weight zero and is skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from policy_node.backends.base import Inference, PolicySpec
from policy_node.backends.graphs import open_graphs
from vla_policy.instruction import embed
from vla_policy.observation import CAMERAS, Observation, initial_gripper, policy_image, proprioception
from vla_uq.contracts import Reference, Space
from vla_uq.flow.ensemble import cross_evaluate
from vla_uq.flow.quadrature import grid
from vla_uq.flow.sampling import SampleTrace, VelocityField, euler
from vla_uq.wire import Array

TENSORS = ("features", "flow_times", "velocities")


@dataclass(frozen=True, eq=False)
class _Memory:
    """What an inference leaves behind to be introspected.

    :param inputs: of the encoders.
    :param context: (1, C) of member 0.
    :param trace: member 0's path over all nodes.
    :param layers: (width,) last hidden layer of member 0 at each node.
    """

    inputs: Mapping[str, Array]
    context: Array
    trace: SampleTrace
    layers: list[Array]


class OnnxBackend:
    """The policy in a weights folder: ``manifest.json``, ``encoder_<i>.onnx``, ``velocity_<i>.onnx``.

    Graphs: encoder (agentview (B, 3, S, S), wrist, proprio (B, 11), text (B, 48)) → context (B, C); velocity
    (x (N, H·7), t (N,), context (N, C)) → velocity (N, H·7), last layer (N, width). An action's seven numbers are
    position, rotation and gripper; the gripper closes on a positive one.

    :param path: the folder.
    :param device: ``cpu`` or ``cuda``.
    :raises InputError: when the folder, a graph or the device cannot be used, naming it.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        manifest, self._graphs = open_graphs(path, device)
        self._manifest = manifest
        self.times = grid(manifest.flow_steps)
        steps = [manifest.position_step] * 3 + [manifest.rotation_step] * 3
        self._steps = np.asarray(steps, np.float32)
        self._scale = np.asarray(manifest.action_scale, np.float32)
        self._text = embed("")[None]
        self._rng = np.random.default_rng()
        self._gripper: float | None = None
        self.info = PolicySpec(
            fingerprint=manifest.fingerprint,
            back_end="onnx",
            members=manifest.members,
            space=Space.EE_DELTA,
            reference=Reference.MEASURED,
            names=("x", "y", "z", "rx", "ry", "rz"),
            horizon=manifest.horizon,
            dim=6,
            step_duration=manifest.step_duration,
            execute_steps=manifest.execute_steps,
            tensors=TENSORS,
        )

    def reset(self, instruction: str, seed: int | None) -> None:
        """See :meth:`Backend.reset`."""
        self._text = embed(instruction)[None]
        self._rng = np.random.default_rng(seed)
        self._gripper = None

    def act(self, observation: Observation) -> Inference:
        """See :meth:`Backend.act`: one encoder call and ``flow_steps`` calls of one row."""
        manifest, inputs = self._manifest, self.inputs(observation)
        context, layers = self.prefix(0, inputs), list[Array]()
        noise = self._rng.standard_normal((1, manifest.horizon, manifest.action_dim), dtype=np.float32)
        trace = euler(self.field(0, context, layers), noise, self.times)
        action = np.clip(trace.final[0] * self._scale, -1.0, 1.0)
        opening = np.where(action[:, 6] > 0, np.float32(0), np.float32(1))
        self._gripper = float(opening[manifest.execute_steps - 1])
        return Inference(action[:, :6] * self._steps, opening, _Memory(inputs, context, trace, layers))

    def introspect(self, inference: Inference) -> dict[str, Array]:
        """See :meth:`Backend.introspect`.

        :returns: ``features`` (part of the context, last layer at the first and at the last node), ``flow_times``
            (K,) without t = 0, ``velocities`` (1, members, 1, K, horizon, 7) on member 0's path, normalised units.
        """
        memory, manifest = cast(_Memory, inference.memory), self._manifest
        # Member 0's velocities are in its record: it is not called again.
        contexts = [memory.context, *(self.prefix(member, memory.inputs) for member in range(1, manifest.members))]
        fields = [self.field(member, context) for member, context in enumerate(contexts)]
        features = (memory.context[0, slice(*manifest.feature_slice)], memory.layers[0], memory.layers[-1])
        return {
            "features": np.concatenate(features),
            "flow_times": memory.trace.times[1:].astype(np.float32),
            "velocities": cross_evaluate(fields, memory.trace)[None].astype(np.float32, copy=False),
        }

    def inputs(self, observation: Observation) -> dict[str, Array]:
        """An observation as the encoders take it, with the policy's own last gripper command."""
        gripper = initial_gripper(observation) if self._gripper is None else self._gripper
        images = {name: policy_image(observation.images[name])[None] for name in CAMERAS}
        return images | {"proprio": proprioception(observation, gripper)[None], "text": self._text}

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
