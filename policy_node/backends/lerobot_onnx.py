"""LeRobot flow policies that ``vla-monitor export`` wrote: their graphs, and neither LeRobot nor torch.

What a member makes of an observation is not one vector but keys and values of every layer; they stay on the device,
where the velocity's graph finds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from policy_node.backends.base import BackendError, Inference, PolicySpec
from policy_node.backends.bound import Bound
from policy_node.backends.flow import FlowBackend, Memory, Recording
from policy_node.backends.graphs import REMEDY, Opener, check
from policy_node.backends.openpi_presets import PRESETS
from policy_node.backends.openpi_settings import Settings
from vla_policy.lerobot_coding import Coding
from vla_policy.manifest import FILE, LeRobotManifest
from vla_policy.observation import Observation
from vla_uq.contracts import Reference, Space
from vla_uq.errors import InputError
from vla_uq.flow.sampling import VelocityField
from vla_uq.wire import Array

CONTEXT, PREFIX = ("mask", "keys", "values"), "prefix"


class LeRobotBackend(FlowBackend):
    """The policy in a weights folder: ``manifest.json``, ``encoder_<i>.onnx``, ``velocity_<i>.onnx``, a tokeniser.

    Graphs: encoder (LeRobot's batch of one row) → ``CONTEXT``, prefix (1, D); velocity (x (N, H, W), t (N,), a
    ``CONTEXT`` of one row) → velocity (N, H, W), last layer (N, H, D).

    :param path: the folder.
    :param device: ``cpu`` or ``cuda``.
    :param draws: ``last_layer``, ``nodes``, ``paths``: see :class:`Recording`.
    :raises InputError: when the folder, a graph or the device cannot be used, naming it, or an option is wrong.
    """

    name = "lerobot_onnx"

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
        manifest = LeRobotManifest.load(path)
        check_exported(manifest, path / FILE)
        self._coding = Coding(manifest, path)
        super().__init__(manifest, recording, body=LeRobotBody(manifest, self._coding))
        self.info = replace(self.info, tensors=(*self.info.tensors, PREFIX))
        opener, members = Opener(device), range(manifest.members)
        self._encoders = {
            number: Bound(opener(path / f"encoder_{number}.onnx", manifest), device)
            for number in sorted({manifest.encoder(member) for member in members})
        }
        self._velocities = [Bound(opener(path / f"velocity_{member}.onnx", manifest), device) for member in members]
        self._try_out(path, manifest)

    def prefix(self, member: int, inputs: Mapping[str, Array]) -> Any:
        """A member's context of an observation, on the device."""
        return self._encoders[self._manifest.encoder(member)].run(inputs, (*CONTEXT, PREFIX))

    def network(self, member: int, context: Any, layers: list[Array] | None = None) -> VelocityField:
        """See :meth:`FlowBackend.network`; a last layer is that at the first action and at the last one (2 D,)."""
        known = {name: context[name] for name in CONTEXT}
        names = ("velocity",) if layers is None else ("velocity", "last_layer")

        def velocity(x: NDArray[Any], t: NDArray[Any]) -> NDArray[Any]:
            feed = {"x": x.astype(np.float32, copy=False), "t": t.astype(np.float32, copy=False), **known}
            found = self._velocities[member].run(feed, names)
            if layers is not None:
                layers.append(found["last_layer"].numpy()[0, [0, -1]].reshape(-1))
            value: NDArray[Any] = found["velocity"].numpy()
            return value

        return velocity

    def features(self, context: Any) -> Array:
        """See :meth:`FlowBackend.features`: mean of the vision-language model's last layer (D,)."""
        latent: Array = context[PREFIX].numpy()[0]
        return latent

    def introspect(self, inference: Inference) -> dict[str, Array]:
        """See :meth:`FlowBackend.introspect`.

        :returns: besides, ``prefix`` (D,), see :meth:`features`. ``features`` (4 D') are the last layer at first and
            last action, at first and last node: the same as those of the policy behind our server.
        """
        return super().introspect(inference) | {PREFIX: self.features(cast(Memory, inference.memory).context)}

    def close(self) -> None:
        """See :meth:`Backend.close`: the device's memory is given back."""
        self._encoders.clear()
        self._velocities.clear()

    def _try_out(self, folder: Path, manifest: LeRobotManifest) -> None:
        """Run every graph once, which also spares the first inference the warm-up.

        :raises InputError: naming the folder and the member.
        """
        images = {name: np.zeros((height, width, 3), np.uint8) for name, (_, height, width) in manifest.cameras.items()}
        seen = {"prompt": "", manifest.state: np.zeros(len(manifest.state_scale)), **images}
        for member in range(manifest.members):
            where, layers = f"{folder}: member {member}", list[Array]()
            try:
                context = self.prefix(member, self._coding.inputs(seen))
                for rows in (1, manifest.flow_steps):
                    x = np.zeros((rows, manifest.horizon, manifest.width), np.float32)
                    shape = self.network(member, context, layers)(x, np.zeros(rows, np.float32)).shape
                    found = shape, layers[-1].shape, self.features(context).shape
                    expected = x.shape, (manifest.last_layer,), (manifest.context,)
                    if found != expected:
                        raise InputError("wrong sizes", where=where, expected=expected, found=found, remedy=REMEDY)
            except InputError:
                raise
            # onnxruntime's own exceptions share no base class but Exception.
            except Exception as error:
                found_line = (str(error).splitlines() or [type(error).__name__])[0]
                raise InputError("graph does not fit the manifest", where=where, found=found_line) from error


class LeRobotBody:
    """Observations as the policy's training data held them, and actions in the units of its space."""

    def __init__(self, manifest: LeRobotManifest, coding: Coding) -> None:
        self._manifest, self._coding, self._preset = manifest, coding, PRESETS[manifest.preset]
        self._settings = Settings("", manifest.preset, open_width=manifest.open_width)
        self._instruction = ""

    def reset(self, instruction: str) -> None:
        """See :meth:`Backend.reset`."""
        self._instruction = instruction

    def inputs(self, observation: Observation) -> dict[str, Array]:
        """An observation as the encoders take it.

        :raises BackendError: when it is not what the policy was trained with.
        """
        try:
            request = self._preset.request(replace(observation, instruction=self._instruction), self._settings)
            return self._coding.inputs(request)
        except InputError as error:
            raise BackendError(str(error)) from error

    def execute(self, chunk: Array) -> tuple[Array, Array]:
        """See :meth:`Coding.execute`."""
        return self._coding.execute(chunk)

    def spec(self, back_end: str, tensors: tuple[str, ...]) -> PolicySpec:
        """The policy's announcement."""
        manifest = self._manifest
        return PolicySpec(
            fingerprint=manifest.fingerprint,
            back_end=back_end,
            members=manifest.members,
            space=Space[manifest.space],
            reference=Reference[manifest.reference],
            names=manifest.names,
            horizon=manifest.horizon,
            dim=len(manifest.names),
            step_duration=manifest.step_duration,
            execute_steps=manifest.execute_steps,
            tensors=tensors,
        )


def check_exported(manifest: LeRobotManifest, path: Path) -> None:
    """Check what the code goes by; a manifest is written by the exporter, and its files are checked by their hashes.

    :raises InputError: naming the field that does not fit.
    """
    preset, columns = PRESETS.get(manifest.preset), len(manifest.names) + bool(manifest.gripper)
    check(manifest, path, "preset", preset is not None, " or ".join(PRESETS))
    assert preset is not None
    known = set(manifest.cameras) <= set(preset.images)
    check(manifest, path, "cameras", known, f"of the preset's: {', '.join(preset.images)}")
    check(manifest, path, "state", manifest.state in preset.state, " or ".join(preset.state))
    check(manifest, path, "action_dim", manifest.action_dim == columns, f"{columns} columns")
    check(manifest, path, "execute_steps", 0 < manifest.execute_steps <= manifest.horizon, "at most the horizon")
    check(manifest, path, "space", manifest.space in Space.__members__, ", ".join(Space.__members__))
    check(manifest, path, "reference", manifest.reference in Reference.__members__, ", ".join(Reference.__members__))
    same = len(manifest.normalisers) == manifest.members and len(set(manifest.normalisers)) == 1
    check(manifest, path, "normalisers", same, "the same for all members")
    try:
        manifest.convention  # noqa: B018
    except InputError as error:
        raise error.at(str(path)) from error
