"""The policy node's own back ends, served: the same policy on another machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_node.backends import Backend, Inference, load
from vla_policy.observation import Observation
from vla_policy.openpi_wire import ACTIONS, GRIPPER, IMAGE, PROMPT, STATE, WRIST_IMAGE, Announcement
from vla_server.served import Decision
from vla_uq.errors import InputError
from vla_uq.geometry import rotation_matrix
from vla_uq.wire import Array

STATE_SIZE = 8
"""Position, rotation vector, the two fingers' positions."""
FLOW = ("onnx", "scripted", "torch")
"""Back ends whose members are compared at nodes of a flow."""


class BackendPolicy:
    """A back end as a :class:`~vla_server.served.ServedPolicy`, on observations in LIBERO's layout.

    An episode begins with a reset, or with another prompt.

    :param kind: back end, see ``policy_node.backends``.
    :param path: its weights folder.
    :param device: where it computes.
    :param nodes: compare members at the last so many nodes of the flow; 0: at all but t = 0.
    :raises InputError: when the back end cannot be opened.
    """

    def __init__(self, kind: str, path: Path, device: str = "cpu", nodes: int = 0) -> None:
        if nodes and kind not in FLOW:
            raise InputError(f"a policy of kind {kind} has no flow", where="--nodes", found=nodes)
        self._backend: Backend = load(kind, path, device=device, **({"nodes": nodes} if nodes else {}))
        info = self._backend.info
        self.tensors = info.tensors
        self.announcement = Announcement(
            fingerprint=info.fingerprint,
            members=info.members,
            space=info.space.name,
            reference=info.reference.name,
            names=info.names,
            horizon=info.horizon,
            step_duration=info.step_duration,
            execute_steps=info.execute_steps,
            remarks=info.remarks,
        )
        self._prompt: str | None = None
        self._seed: int | None = None

    def reset(self, seed: int | None) -> None:
        """See :meth:`ServedPolicy.reset`; the instruction comes with the next observation."""
        self._prompt, self._seed = None, seed

    def act(self, observation: Mapping[Any, Any]) -> Decision:
        """See :meth:`ServedPolicy.act`."""
        seen = observed(observation)
        if seen.instruction != self._prompt:
            self._backend.reset(seen.instruction, self._seed)
            self._prompt, self._seed = seen.instruction, None
        inference = self._backend.act(seen)
        reply = {ACTIONS: inference.actions}
        return Decision(reply | ({GRIPPER: inference.gripper} if inference.gripper.size else {}), inference)

    def introspect(self, memory: Inference, names: Sequence[str]) -> dict[str, Array]:
        """See :meth:`ServedPolicy.introspect`."""
        tensors = self._backend.introspect(memory)
        return {name: tensors[name] for name in names}


def observed(content: Mapping[Any, Any]) -> Observation:
    """An observation map as the policies of this project take it.

    :raises InputError: naming the field that is missing or wrong.
    """
    state = np.asarray(_field(content, STATE, np.ndarray), np.float64)
    if state.shape != (STATE_SIZE,) or not np.isfinite(state).all():
        raise InputError("wrong field", where=STATE, expected=f"{STATE_SIZE} finite numbers", found=state.shape)
    return Observation(
        images={"agentview": _image(content, IMAGE), "wrist": _image(content, WRIST_IMAGE)},
        position=state[:3],
        rotation=rotation_matrix(state[3:6]),
        width=float(state[6] - state[7]),
        instruction=_field(content, PROMPT, str),
    )


def _image(content: Mapping[Any, Any], name: str) -> NDArray[np.uint8]:
    image = _field(content, name, np.ndarray)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        found = f"{image.shape} {image.dtype}"
        raise InputError("not an RGB image", where=name, expected="(height, width, 3) uint8", found=found)
    return image


def _field(content: Mapping[Any, Any], name: str, kind: type) -> Any:
    value = content.get(name)
    if not isinstance(value, kind):
        found = "nothing" if value is None else type(value).__name__
        raise InputError("wrong field", where=name, expected=kind.__name__, found=found)
    return value
