"""What all flow-matching ensembles do, whatever runs their networks.

Member 0 samples; everything else waits until its actions have left. The other members then see the same observation
and evaluate the nodes of member 0's path in one batched call each, so that VFD costs one evaluation a node (Eq. 8 and
9 of VFD, flow_uncertainty §1.6); the node t = 0 has weight zero and is skipped. Members that look through the same
encoder share its context.

More is recorded when asked: further chunks of every member, for scores of sample consistency, further paths, for a VFD
with less noise, and the last hidden layer along the path, for a last-layer posterior. None changes what the policy
does.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from policy_node.backends.base import Inference, PolicySpec
from policy_node.backends.body import Body
from vla_policy.manifest import FlowManifest
from vla_policy.observation import Observation
from vla_uq.errors import InputError
from vla_uq.flow.ensemble import cross_evaluate
from vla_uq.flow.quadrature import grid, weights
from vla_uq.flow.sampling import SampleTrace, VelocityField, euler
from vla_uq.wire import Array

TENSORS = ("features", "flow_times", "velocities")


@dataclass(frozen=True)
class Recording:
    """How much of an inference is recorded.

    :param draws: chunks that each member samples; 1 records only what was executed.
    :param last_layer: the last hidden layer along member 0's path.
    :param nodes: the last so many nodes of the path, where nearly all the weight is; 0: all but t = 0.
    :param paths: of member 0 on which the members are compared; 1: the executed one alone.
    :raises InputError: when one is out of range.
    """

    draws: int = 1
    last_layer: bool = False
    nodes: int = 0
    paths: int = 1

    def __post_init__(self) -> None:
        for name, least in (("draws", 1), ("nodes", 0), ("paths", 1)):
            if getattr(self, name) < least:
                raise InputError("out of range", where=name, expected=f"at least {least}", found=getattr(self, name))

    @property
    def further(self) -> int:
        """Draws of member 0 besides the executed one."""
        return max(self.draws, self.paths) - 1


@dataclass(frozen=True, eq=False)
class Memory:
    """What an inference leaves behind to be introspected.

    :param inputs: of the encoders.
    :param context: of member 0.
    :param trace: member 0's path over all nodes.
    :param layers: (width,) last hidden layer of member 0 at each node; empty where the networks do not show it.
    :param noise: (further draws, H, A) where those start; drawn when acting, so that introspecting twice gives the
        same twice.
    """

    inputs: Mapping[str, Array]
    context: Any
    trace: SampleTrace
    layers: list[Array]
    noise: Array


class Embodiment(Protocol):
    """What stands between the robot and the networks; :class:`Body` is that of this project's own policies."""

    def reset(self, instruction: str) -> None: ...

    def inputs(self, observation: Observation) -> dict[str, Array]: ...

    def execute(self, chunk: Array) -> tuple[Array, Array]: ...

    def spec(self, back_end: str, tensors: tuple[str, ...]) -> PolicySpec: ...


class FlowBackend(ABC):
    """A flow-matching ensemble; who runs its networks says what ``prefix``, ``network`` and ``features`` are.

    :param manifest: checked.
    :param layered: whether the networks show their last hidden layer.
    :param body: of policies that see or act otherwise than this project's own.
    :raises InputError: when more is to be recorded than the policy has.
    """

    name: ClassVar[str]

    def __init__(
        self, manifest: FlowManifest, recording: Recording, layered: bool = True, body: Embodiment | None = None
    ) -> None:
        inner = manifest.flow_steps - 1
        if recording.nodes > inner:
            raise InputError(
                "more nodes than the policy's path has",
                where="nodes",
                expected=f"at most {inner}",
                found=recording.nodes,
            )
        if recording.last_layer and not layered:
            raise InputError("the networks do not show their last hidden layer", where="last_layer")
        self._manifest, self._recording, self._convention = manifest, recording, manifest.convention
        self._nodes = recording.nodes or inner
        self.times = grid(manifest.flow_steps)
        self._body: Embodiment = body or Body(manifest)
        self._rng = self._further = np.random.default_rng()
        optional = {"samples": recording.draws > 1, "last_layer": recording.last_layer}
        tensors = (*TENSORS, *(name for name, asked in optional.items() if asked))
        self.info = self._announced(self._body.spec(self.name, tensors))

    def _announced(self, spec: PolicySpec) -> PolicySpec:
        """VFD on other nodes or paths is another number, so that policy is another one to a bundle."""
        inner, paths = self._manifest.flow_steps - 1, self._recording.paths
        held = weights(self.times)
        share = f"{100 * held[-self._nodes :].sum() / held.sum():.1f} %"
        remarks = {"nodes": f"the last {self._nodes} of {inner}", "share of VFD's weight": share, "paths": str(paths)}
        if (self._nodes, paths) == (inner, 1):
            return replace(spec, remarks=remarks)
        text = f"{spec.fingerprint} nodes {self._nodes} paths {paths}"
        return replace(spec, remarks=remarks, fingerprint=hashlib.blake2b(text.encode(), digest_size=8).hexdigest())

    @abstractmethod
    def prefix(self, member: int, inputs: Mapping[str, Array]) -> Any:
        """A member's context of an observation; whatever its networks take."""

    @abstractmethod
    def network(self, member: int, context: Any, layers: list[Array] | None = None) -> VelocityField:
        """A member's network in its own convention: states (B, H, width), times (B,) → (B, H, width).

        :param layers: takes the last hidden layer of each call's first row, where the networks show it.
        """

    @abstractmethod
    def features(self, context: Any) -> Array:
        """A context as one vector (C,)."""

    def field(self, member: int, context: Any, layers: list[Array] | None = None) -> VelocityField:
        """A member's velocity in our convention; see :meth:`network`."""
        return self._convention.canonical(self.network(member, context, layers))

    def inputs(self, observation: Observation) -> dict[str, Array]:
        """See :meth:`Body.inputs`."""
        return self._body.inputs(observation)

    def reset(self, instruction: str, seed: int | None) -> None:
        """See :meth:`Backend.reset`."""
        self._body.reset(instruction)
        own = np.random.SeedSequence(seed)
        # The further draws have a stream of their own: the executed chunk is the same with and without them.
        self._rng, self._further = np.random.default_rng(own), np.random.default_rng(own.spawn(1)[0])

    def act(self, observation: Observation) -> Inference:
        """See :meth:`Backend.act`: one call of the encoder and ``flow_steps`` calls of one row."""
        manifest, inputs = self._manifest, self.inputs(observation)
        context, layers = self.prefix(0, inputs), list[Array]()
        shape = manifest.horizon, manifest.width
        noise = self._rng.standard_normal((1, *shape), dtype=np.float32)
        further = self._further.standard_normal((self._recording.further, *shape), dtype=np.float32)
        trace = euler(self.field(0, context, layers), noise, self.times)
        return Inference(
            *self._body.execute(self._real(trace.final[0])), Memory(inputs, context, trace, layers, further)
        )

    def introspect(self, inference: Inference) -> dict[str, Array]:
        """See :meth:`Backend.introspect`.

        :returns: ``features`` (part of the context, last layer at the first and at the last node), ``flow_times``
            (node,) without t = 0, ``velocities`` (1, members, paths, node, horizon, A) on member 0's paths, normalised
            units. When asked: ``samples`` (members, draws, horizon, A), normalised, draw d of every member from the
            same noise and [0, 0] the executed chunk; ``last_layer`` (node, 1, width), one vector for the whole chunk.
        """
        memory, recording = cast(Memory, inference.memory), self._recording
        # Member 0's velocities are in its record: it is not called again, but for further draws.
        fields = self._fields(memory)
        further = euler(fields[0], memory.noise, self.times) if recording.further else None
        features = (self.features(memory.context)[slice(*self._manifest.feature_slice)], *_ends(memory.layers))
        path = self._last_nodes(memory.trace, further)
        tensors = {
            "features": np.concatenate(features),
            "flow_times": path.times.astype(np.float32),
            "velocities": self._real(cross_evaluate(fields, path)[None]).astype(np.float32, copy=False),
        }
        if further is not None and recording.draws > 1:
            tensors["samples"] = self._real(self._samples(fields, memory.trace, further))
        if recording.last_layer:
            tensors["last_layer"] = np.stack(memory.layers[-self._nodes :])[:, None]
        return tensors

    def close(self) -> None:  # noqa: B027
        """See :meth:`Backend.close`: unless told otherwise, nothing is held open."""

    def _fields(self, memory: Memory) -> list[VelocityField]:
        """Every member's field under its own context; an encoder that several look through is called once."""
        numbers = [self._manifest.encoder(member) for member in range(self._manifest.members)]
        contexts = {numbers[0]: memory.context}
        for member, number in enumerate(numbers):
            if number not in contexts:
                contexts[number] = self.prefix(member, memory.inputs)
        return [self.field(member, contexts[number]) for member, number in enumerate(numbers)]

    def _last_nodes(self, executed: SampleTrace, further: SampleTrace | None) -> SampleTrace:
        """The nodes to be compared at, of the executed path and of so many further ones."""
        more, kept = self._recording.paths - 1, slice(-self._nodes, None)
        states, velocities = executed.states[kept], executed.velocities[kept]
        if further is not None and more:
            states = np.concatenate([states, further.states[kept, :more]], axis=1)
            velocities = np.concatenate([velocities, further.velocities[kept, :more]], axis=1)
        return SampleTrace(executed.times[kept], states, velocities, executed.final)

    def _samples(self, fields: Sequence[VelocityField], executed: SampleTrace, further: SampleTrace) -> Array:
        """Chunks of every member (members, draws, H, A); those that member 0 sampled are not sampled again."""
        count = self._recording.draws - 1
        noise = np.concatenate([executed.states[0], further.states[0, :count]])
        own = np.concatenate([executed.final, further.final[:count]])
        return np.stack([own, *(euler(field, noise, self.times).final for field in fields[1:])])

    def _real(self, values: NDArray[Any]) -> NDArray[Any]:
        """Without the columns that pad the networks' chunks: nothing ever taught them anything."""
        return values if not self._manifest.padded_dim else values[..., : self._manifest.action_dim]


def _ends(layers: Sequence[Array]) -> tuple[Array, ...]:
    return (layers[0], layers[-1]) if layers else ()
