"""What the server serves: any policy that acts on an observation map, and can be looked into afterwards."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from vla_policy.openpi_wire import Announcement
from vla_uq.errors import InputError
from vla_uq.wire import Array

POLICIES: dict[str, str] = {
    "lerobot": "vla_server.lerobot.policy:LeRobotPolicy",
    "onnx": "vla_server.backend:BackendPolicy",
    "scripted": "vla_server.backend:BackendPolicy",
    "tokens": "vla_server.backend:BackendPolicy",
    "torch": "vla_server.backend:BackendPolicy",
    "transformers_ar": "vla_server.backend:BackendPolicy",
}
"""Kind of policy to ``module:Class`` that opens a folder of it."""


@dataclass(frozen=True, eq=False)
class Decision:
    """One inference.

    :param reply: what the client is sent; ``actions`` at least.
    :param memory: what the policy keeps to be looked into; nobody else reads it.
    """

    reply: Mapping[str, Array]
    memory: object = None


class ServedPolicy(Protocol):
    """A policy behind the server; called by one thread."""

    @property
    def announcement(self) -> Announcement:
        """What the policy is."""
        ...

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of what ``introspect`` offers."""
        ...

    def reset(self, seed: int | None) -> None:
        """Forget the episode before.

        :param seed: of the sampling noise; None draws one from the system.
        """
        ...

    def act(self, observation: Mapping[Any, Any]) -> Decision:
        """Decide what to do.

        :raises InputError: when the observation is not what the policy takes.
        """
        ...

    def introspect(self, memory: Any, names: Sequence[str]) -> Mapping[str, Array]:
        """The named tensors of an inference; called with nothing but names that are offered."""
        ...


def open_policy(kind: str, path: Path, device: str = "cpu", nodes: int = 0) -> ServedPolicy:
    """Open a policy to be served.

    :param kind: a key of ``POLICIES``.
    :param path: its folder.
    :param nodes: compare members at the last so many nodes of the flow; 0: at all but t = 0.
    :raises InputError: on an unknown kind, or a policy that cannot be opened here.
    """
    if kind not in POLICIES:
        raise InputError("unknown policy", where="--policy", expected=" or ".join(POLICIES), found=repr(kind))
    module, _, name = POLICIES[kind].partition(":")
    factory = getattr(importlib.import_module(module), name)
    return cast(ServedPolicy, factory(kind, path, device=device, nodes=nodes))
