"""A LeRobot policy or ensemble as the server serves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vla_policy.openpi_wire import ACTIONS, GRIPPER, PROMPT, Announcement
from vla_server.lerobot.ensemble import Ensemble, Sampled
from vla_server.lerobot.loading import open_members
from vla_server.lerobot.manifest import FILE, EnsembleManifest
from vla_server.served import Decision
from vla_uq.errors import InputError
from vla_uq.wire import Array

STATE = "observation.state"
TENSORS = ("features", "flow_times", "velocities", "last_layer", "prefix")


class LeRobotPolicy:
    """The ensemble that an ``ensemble.json`` describes.

    :param kind: ``lerobot``.
    :param path: folder of the file.
    :param device: where torch computes.
    :param nodes: compare members at the last so many steps of the flow; 0: at all but t = 0.
    :raises InputError: when file, members or LeRobot are not right, with what is wrong.
    """

    def __init__(self, kind: str, path: Path, device: str = "cpu", nodes: int = 0) -> None:
        self._manifest = manifest = EnsembleManifest.load(path)
        members = open_members(path, manifest, device)
        self._before, self._after = members[0].before, members[0].after
        self._ensemble = ensemble = Ensemble([member.policy for member in members], nodes)
        features = members[0].policy.config.input_features
        self._state = int(features[STATE].shape[0]) if STATE in features else 0
        self._check(path, set(members[0].policy.config.image_features))
        self.tensors = TENSORS
        shared = f"{sum(ensemble.shared)} of {ensemble.members - 1}"
        self.announcement = Announcement(
            fingerprint=manifest.fingerprint(path, {"nodes": ensemble.nodes}),
            members=ensemble.members,
            space=manifest.space,
            reference=manifest.reference,
            names=tuple(manifest.names),
            horizon=ensemble.horizon,
            step_duration=float(manifest.step_duration),
            execute_steps=manifest.execute_steps,
            remarks={
                "nodes": f"the last {ensemble.nodes} of {ensemble.steps - 1}",
                "share of VFD's weight": f"{100 * ensemble.weight_share:.1f} %",
                "members that share the model's pass": shared,
            },
        )
        self._rng = np.random.default_rng()

    def _check(self, path: Path, cameras: set[str]) -> None:
        manifest, columns = self._manifest, self._ensemble.dim - bool(self._manifest.gripper)
        found = {
            "names": (len(manifest.names), columns),
            # Cameras that are only there to be empty are the policy's own business.
            "cameras": (sorted(manifest.cameras.values()), sorted(c for c in cameras if ".empty_camera_" not in c)),
            "execute_steps": (min(manifest.execute_steps, self._ensemble.horizon), manifest.execute_steps),
        }
        for name, (value, expected) in found.items():
            if value != expected:
                where = f"{path / FILE}: {name}"
                raise InputError("does not fit the policy", where=where, expected=expected, found=value)
        if manifest.gripper and manifest.gripper["column"] >= self._ensemble.dim:
            raise InputError("no such column", where=f"{path / FILE}: gripper", expected=f"below {self._ensemble.dim}")

    def reset(self, seed: int | None) -> None:
        """See :meth:`ServedPolicy.reset`."""
        self._rng = np.random.default_rng(seed)

    def act(self, observation: Mapping[Any, Any]) -> Decision:
        """See :meth:`ServedPolicy.act`."""
        ensemble = self._ensemble
        batch = self._before(self._seen(observation))
        noise = self._rng.standard_normal((ensemble.horizon, ensemble.width), dtype=np.float32)
        sampled = ensemble.sample(batch, noise)
        chunk = self._after(sampled.actions)[0].detach().float().cpu().numpy()
        reply = {ACTIONS: chunk}
        if self._manifest.gripper:
            held = self._manifest.gripper
            column, closed, opened = int(held["column"]), held["closed"], held["open"]
            opening = (chunk[:, column] - closed) / (opened - closed)
            reply = {ACTIONS: np.delete(chunk, column, axis=1), GRIPPER: np.clip(opening, 0, 1).astype(np.float32)}
        return Decision(reply, sampled)

    def introspect(self, memory: Sampled, names: Sequence[str]) -> dict[str, Array]:
        """See :meth:`ServedPolicy.introspect`.

        :returns: of these, what is asked: ``features`` (4 D), the action expert's last layer at first and last action,
            at first and last flow step (SAFE's concat-2 on both axes); ``flow_times`` (node,); ``velocities``
            (1, member, 1, node, H, A); ``last_layer`` (node, H, D); ``prefix`` (D'), mean over the tokens.
        """
        ensemble = self._ensemble
        layers = ensemble.layers(memory)
        tensors = {
            "features": lambda: layers[np.ix_([0, -1], [0, -1])].reshape(-1),
            "flow_times": ensemble.flow_times,
            "velocities": lambda: ensemble.velocities(memory),
            "last_layer": lambda: layers[-ensemble.nodes :],
            "prefix": lambda: ensemble.prefix(memory),
        }
        return {name: np.ascontiguousarray(tensors[name](), np.float32) for name in names}

    def _seen(self, observation: Mapping[Any, Any]) -> dict[str, Any]:
        """An observation map as LeRobot's preprocessors take it."""
        prompt, manifest = observation.get(PROMPT), self._manifest
        if not isinstance(prompt, str):
            raise InputError("wrong field", where=PROMPT, expected="text", found=type(prompt).__name__)
        seen: dict[str, Any] = {"task": prompt}
        for name, feature in manifest.cameras.items():
            image = observation.get(name)
            fits = isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
            if not fits or image is None:
                found = f"{image.shape} {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
                raise InputError("not an RGB image", where=name, expected="(height, width, 3) uint8", found=found)
            seen[feature] = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1).contiguous()
        if self._state:
            state = np.asarray(observation.get(manifest.state, ()))
            if state.shape != (self._state,) or state.dtype.kind not in "fiu" or not np.isfinite(state).all():
                expected = f"{self._state} finite numbers"
                raise InputError("wrong field", where=manifest.state, expected=expected, found=f"{state.shape}")
            seen[STATE] = torch.from_numpy(state.astype(np.float32))
        return seen
