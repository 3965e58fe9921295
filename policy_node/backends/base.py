"""What a policy back end is: act first, introspect afterwards, so that actions never wait for their own analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from vla_policy.observation import Observation
from vla_uq.contracts import Reference, Space
from vla_uq.wire import Array


class BackendError(RuntimeError):
    """An inference failed; the policy may do better at the next one. No chunk leaves, which holds the arm."""


@dataclass(frozen=True)
class PolicySpec:
    """What a policy announces (``PolicyInfo``); a bundle is bound to it.

    :param fingerprint: changes whenever the policy's outputs could, those of ``introspect`` included.
    :param back_end: name in the registry.
    :param members: networks of the ensemble; member 0 acts.
    :param names: of the action columns.
    :param horizon: actions in a chunk.
    :param dim: columns of an action, without the gripper.
    :param step_duration: seconds from one action to the next.
    :param execute_steps: actions executed before the next inference is due.
    :param tensors: names of what ``introspect`` offers: all that this policy is capable of showing.
    :param remarks: what people should know of it, name to text; for diagnostics.
    """

    fingerprint: str
    back_end: str
    members: int
    space: Space
    reference: Reference
    names: tuple[str, ...]
    horizon: int
    dim: int
    step_duration: float
    execute_steps: int
    tensors: tuple[str, ...]
    remarks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Inference:
    """One decision.

    :param actions: (horizon, dim) float32 in the units of the spec's space.
    :param gripper: (horizon,) float32, 0 closed to 1 open; empty leaves the gripper alone.
    :param memory: what the back end keeps to introspect this inference; nobody else reads it.
    """

    actions: Array
    gripper: Array
    memory: object = None


class Backend(Protocol):
    """A policy behind one interface; a new one is one file and one line in the registry.

    It is called by one thread at a time, ``close`` alone by another. Any call may take long or raise;
    :class:`BackendError` says that it knew why.
    """

    @property
    def info(self) -> PolicySpec:
        """What this policy is; constant over its lifetime."""
        ...

    def reset(self, instruction: str, seed: int | None) -> None:
        """Forget everything of the episode before and begin one.

        :param seed: of the sampling noise; None draws one from the system.
        """
        ...

    def act(self, observation: Observation) -> Inference:
        """Decide what to do; as little else as possible.

        :raises BackendError: when there is no answer, or it came too late to be this observation's.
        """
        ...

    def introspect(self, inference: Inference) -> Mapping[str, Array]:
        """The tensors named in the spec for an inference of this back end (``PolicyTrace``)."""
        ...

    def close(self) -> None:
        """Let go of connections and devices, and end a call that still waits; nothing is called afterwards."""
        ...
