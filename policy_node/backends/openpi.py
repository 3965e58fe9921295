"""A policy on another machine: openpi's websocket servers, and ours, which can be looked into.

Its "weights" are a folder with a ``manifest.json`` of :class:`Settings`. A stock server tells its actions and nothing
else: no tensors are offered, and what its actions mean has to be taken from the preset.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from policy_node.backends.base import BackendError, Inference, PolicySpec
from policy_node.backends.openpi_greeting import Greeting
from policy_node.backends.openpi_link import Link, RefusedError
from policy_node.backends.openpi_presets import PRESETS
from policy_node.backends.openpi_settings import Settings
from vla_policy.manifest import FILE
from vla_policy.observation import CAMERAS, Observation
from vla_policy.openpi_wire import ACTIONS, GRIPPER, INFERENCE, INTROSPECT, INTROSPECTION, RESET
from vla_uq.contracts import MAX_TENSOR
from vla_uq.errors import InputError
from vla_uq.wire import Array

LOG = logging.getLogger(__name__)
OPENING = 2.0
"""Seconds that a connection may take to open while an observation waits."""


class OpenpiBackend:
    """A policy server, asked for one inference at a time.

    It is opened with a black image, which tells how long its chunks are, and warms it up.

    :param path: folder of the manifest.
    :param device: is not used: the server has its own.
    :raises InputError: when the manifest cannot be right, or no server answers as it says.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        settings, where = Settings.load(path), path / FILE
        if settings.preset not in PRESETS:
            expected, found = " or ".join(PRESETS), repr(settings.preset)
            raise InputError("unknown preset", where=f"{where}: preset", expected=expected, found=found)
        self._settings, self._preset = settings, PRESETS[settings.preset]
        self._greeting: Greeting | None = None
        self._seed: int | None = None
        self._fresh, self._count, self._connections = True, 0, 0
        self._link = Link(settings.url, settings.api_key(path), self._greeted)
        try:
            self.info = self._introduced()
        except (BackendError, InputError) as error:
            self._link.close()
            raise InputError("the policy server cannot be used", where=str(where), found=str(error)) from error
        self._timeout = settings.timeout or self.info.horizon * self.info.step_duration

    def reset(self, instruction: str, seed: int | None) -> None:
        """See :meth:`Backend.reset`; a stock server keeps no episode, and its noise is its own."""
        self._seed, self._fresh = seed, True

    def act(self, observation: Observation) -> Inference:
        """See :meth:`Backend.act`."""
        self._link.connect(OPENING)
        actions, gripper = self._acted(observation, self._timeout)
        announced = self.info.horizon, self.info.dim
        if actions.shape != announced:
            raise self._wrong(f"actions have another shape than before: expected {announced}, found {actions.shape}")
        return Inference(actions, gripper, (self._connections, self._count - 1))

    def introspect(self, inference: Inference) -> dict[str, Array]:
        """See :meth:`Backend.introspect`; nothing of a stock server."""
        names = self.info.tensors
        if not names:
            return {}
        connection, number = cast("tuple[int, int]", inference.memory)
        if not self._link.open or connection != self._connections:
            raise self._wrong("the connection was lost before the policy could be looked into")
        request = {INTROSPECT: {"tensors": list(names), "inference": number}}
        tensors = self._link.ask(request, self._timeout).get(INTROSPECTION)
        if not isinstance(tensors, Mapping):
            raise self._wrong(f"there is no {INTROSPECTION} in the answer")
        return {name: self._numbers(tensors.get(name), name) for name in names}

    def close(self) -> None:
        """See :meth:`Backend.close`."""
        self._link.close()

    def _greeted(self, metadata: Mapping[Any, Any], message: bytes) -> None:
        """A connection has opened; what the policy believes to have done on the one before may not have been done.

        :raises InputError: when the policy is not the one that was announced.
        """
        greeting = Greeting.read(metadata, message)
        if self._greeting is not None and not greeting.same(self._greeting):
            raise InputError("another policy is served now", where="metadata", remedy="configure the policy node again")
        self._greeting, self._fresh, self._count = greeting, True, 0
        self._connections += 1

    def _introduced(self) -> PolicySpec:
        """Connect, have the policy act once, and say what it is.

        :raises BackendError: when there is no answer in time.
        :raises InputError: when what it says cannot be.
        """
        deadline = time.monotonic() + self._settings.warm_up
        while not self._link.open:
            try:
                self._link.connect(max(deadline - time.monotonic(), 0.1))
            except RefusedError:
                raise
            except BackendError as error:
                if time.monotonic() > deadline:
                    raise
                LOG.warning("waiting for a policy server: %s", error)
                time.sleep(min(self._link.pause, max(deadline - time.monotonic(), 0.0)))
        darkness = Observation(
            images={name: np.zeros((256, 256, 3), np.uint8) for name in CAMERAS},
            position=np.zeros(3),
            rotation=np.eye(3),
            width=self._settings.open_width,
            instruction="wait",
            joints=dict.fromkeys(self._settings.joints, 0.0),
        )
        actions, _ = self._acted(darkness, self._settings.warm_up)
        self._fresh = True
        return cast(Greeting, self._greeting).spec(self._settings, self._preset, actions.shape)

    def _acted(self, observation: Observation, patience: float) -> tuple[Array, Array]:
        """Actions (H, dim) and gripper openings, (H,) or none, of the answer to an observation.

        :raises BackendError: when there is no answer, or it cannot be executed.
        """
        request = self._preset.request(observation, self._settings)
        ours = cast(Greeting, self._greeting).announcement is not None
        if ours and self._fresh:
            request[RESET] = {"seed": self._seed}
        reply = self._link.ask(request, patience)
        self._fresh, self._count = False, self._count + 1
        if ours and reply.get(INFERENCE) != self._count - 1:
            self._link.drop()
            found = f"expected number {self._count - 1}, found {reply.get(INFERENCE)!r}"
            raise self._wrong(f"the answer is to another observation: {found}")
        raw = self._numbers(reply.get(ACTIONS), ACTIONS)
        columns = raw.shape[-1] if ours and raw.ndim else len(self._preset.scale) + 1
        if raw.ndim != 2 or not raw.size or raw.shape[1] != columns:
            raise self._wrong(f"actions have a wrong shape: expected (horizon, {columns}), found {raw.shape}")
        given = self._numbers(reply[GRIPPER], GRIPPER) if ours and GRIPPER in reply else np.empty(0, np.float32)
        if given.shape not in ((0,), raw.shape[:1]):
            raise self._wrong(f"the gripper has a wrong shape: expected {raw.shape[:1]}, found {given.shape}")
        if not (np.isfinite(raw).all() and np.isfinite(given).all()):
            raise self._wrong("actions are not finite")
        return (raw, given) if ours else self._preset.execute(raw)

    def _numbers(self, value: Any, name: str) -> Array:
        """:raises BackendError: when part of an answer is no array of numbers."""
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu" or value.size > MAX_TENSOR:
            found = f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
            raise self._wrong(f"{name} is no array of numbers: found {found}")
        return np.asarray(value, np.float32)

    def _wrong(self, what: str) -> BackendError:
        return BackendError(f"{self._settings.url}: {what}")
