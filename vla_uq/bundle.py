"""The bundle: the one file that a monitor runs, with detectors, bands, thresholds and the policy they belong to."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq import artefact
from vla_uq.calibration.mondrian import PerTask
from vla_uq.calibration.nonconformity import Nonconformity
from vla_uq.contracts import Space
from vla_uq.detectors import Detector, detector_from_state
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout

KIND = "bundle"
SCHEMA = 1


@dataclass(frozen=True)
class PolicyIdentity:
    """The policy that a bundle was calibrated with.

    :param fingerprint: of the policy's weights and settings.
    :param space: what the columns of an action mean.
    :param horizon: actions in a chunk.
    :param dim: columns of an action, without the gripper.
    :param step_duration: seconds from one action to the next.
    :param execute_steps: actions executed between two inferences.
    :param tensors: shape, in one inference, of each tensor that the detectors need.
    """

    fingerprint: str
    space: Space
    horizon: int
    dim: int
    step_duration: float
    execute_steps: int
    tensors: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, policy: Any, tensors: Mapping[str, tuple[int, ...]] | None = None) -> PolicyIdentity:
        """Take the fields from anything that has them: a back end's own description or a ``PolicyInfo`` message."""
        return cls(
            fingerprint=str(policy.fingerprint),
            space=Space(policy.space),
            horizon=int(policy.horizon),
            dim=int(policy.dim),
            step_duration=_seconds(policy.step_duration),
            execute_steps=int(policy.execute_steps),
            tensors=dict(tensors or {}),
        )

    def mismatches(self, policy: Any) -> list[str]:
        """What differs in a running policy: one line a field, empty when it fits.

        :param policy: a ``PolicyInfo`` message or anything with the same fields; ``tensors`` are names.
        """
        lines = []
        for name in ("fingerprint", "space", "horizon", "dim", "execute_steps"):
            expected, found = getattr(self, name), getattr(policy, name)
            if expected != found:
                lines.append(f"{name}: expected {_shown(name, expected)}, found {_shown(name, found)}")
        step = _seconds(policy.step_duration)
        if not math.isclose(step, self.step_duration, rel_tol=1e-6, abs_tol=1e-9):
            lines.append(f"step_duration: expected {self.step_duration:g} s, found {step:g} s")
        missing = sorted(set(self.tensors) - set(policy.tensors))
        if missing:
            offered = ", ".join(sorted(policy.tensors)) or "none"
            lines.append(f"tensors: expected {', '.join(missing)}, found {offered}")
        return lines


@dataclass(frozen=True, eq=False)
class Bundle:
    """Everything a monitor needs to score one policy.

    :param detectors: name to fitted detector, in the order in which they are scored; they hold the state of the
        running episode, so two episodes at once need two loads.
    :param nonconformity: calibrated on the episodes of all tasks.
    :param provenance: JSON values: how it was made, from what, with what result.
    :param per_task: thresholds of single tasks, if the bundle has them.
    """

    policy: PolicyIdentity
    detectors: Mapping[str, Detector]
    nonconformity: Nonconformity
    provenance: Mapping[str, Any] = field(default_factory=dict)
    per_task: PerTask | None = None

    def __post_init__(self) -> None:
        for nonconformity in (self.nonconformity, *self._own):
            if set(self.detectors) != set(nonconformity.detectors):
                raise InputError(
                    "detectors and bands differ",
                    where="bundle: detectors",
                    expected=", ".join(nonconformity.detectors),
                    found=", ".join(self.detectors),
                )
            if nonconformity.alpha != self.alpha:
                raise InputError("tasks differ in alpha", where="bundle: per_task", found=nonconformity.alpha)

    def decide(self, task: str) -> tuple[Nonconformity, str]:
        """What an episode of a task is judged by, and why alpha does not hold for it, or nothing."""
        return (self.nonconformity, "") if self.per_task is None else self.per_task.decide(task, self.nonconformity)

    @property
    def _own(self) -> list[Nonconformity]:
        return [] if self.per_task is None else list(self.per_task.own.values())

    @property
    def alpha(self) -> float:
        return self.nonconformity.alpha

    @property
    def n_calibration(self) -> int:
        """Episodes behind the threshold; of the task that has fewest, where tasks have their own."""
        return min(n.n_calibration for n in self._own or [self.nonconformity])

    @property
    def realised_bound(self) -> float:
        """See :attr:`Nonconformity.realised_bound`; the largest of the tasks, where they have their own."""
        return max(n.realised_bound for n in self._own or [self.nonconformity])

    @cached_property
    def digest(self) -> str:
        """Fingerprint of the whole content, 32 hex digits."""
        return _digest(*self._content())

    def scores(self, rollout: Rollout) -> dict[str, NDArray[np.float64]]:
        """Each detector's scores of a recorded episode, (T,); ``nonconformity`` makes one curve of them.

        :raises InputError: when the episode lacks a tensor or it has another shape.
        """
        return {name: detector.score(rollout) for name, detector in self.detectors.items()}

    def mismatches(self, policy: Any) -> list[str]:
        """See :meth:`PolicyIdentity.mismatches`."""
        return self.policy.mismatches(policy)

    def save(self, path: Path | str) -> None:
        """Write atomically.

        :raises InputError: when the file cannot be written.
        """
        document, tensors = self._content()
        artefact.write(Path(path), KIND, SCHEMA, {**document, "digest": _digest(document, tensors)}, tensors)

    @classmethod
    def load(cls, path: Path | str) -> Bundle:
        """Read and verify.

        :raises InputError: naming file and field, when the file is missing, broken, altered, of another schema, or
            holds a detector that this version does not know.
        """
        path = Path(path)
        document = artefact.read_document(path, KIND, SCHEMA)
        tensors = artefact.read_tensors(path)
        claimed = artefact.field(document, "digest", str, str(path))
        found = _digest({k: v for k, v in document.items() if k != "digest"}, tensors)
        if found != claimed:
            raise InputError(
                "content does not match its digest",
                where=f"{path}: digest",
                expected=claimed,
                found=found,
                remedy="copy or make the bundle again",
            )
        band = artefact.field(document, "nonconformity", dict, str(path))
        where = f"{path}: nonconformity"
        nonconformity = Nonconformity.from_state(_below(tensors, "nonconformity/"), band, where)
        configs = artefact.field(document, "detectors", dict, str(path))
        detectors = {
            name: detector_from_state(
                name,
                _below(tensors, f"detectors/{name}/"),
                artefact.field(configs, name, dict, f"{path}: detectors"),
                where=f"{path}: detectors/{name}",
            )
            for name in nonconformity.detectors
        }
        policy = _identity(artefact.field(document, "policy", dict, str(path)), f"{path}: policy")
        provenance, per_task = artefact.field(document, "provenance", dict, str(path)), None
        if "per_task" in document:
            tasks = artefact.field(document, "per_task", dict, str(path))
            per_task = PerTask.from_state(_below(tensors, "per_task/"), tasks, f"{path}: per_task")
        return cls(policy, detectors, nonconformity, provenance, per_task)

    def _content(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        states = {name: detector.state() for name, detector in self.detectors.items()}
        band_tensors, band = self.nonconformity.state()
        document = {
            "policy": {**asdict(self.policy), "space": self.policy.space.name},
            "detectors": {name: config for name, (_, config) in states.items()},
            "nonconformity": band,
            "provenance": dict(self.provenance),
        }
        tensors = {f"detectors/{d}/{name}": value for d, (own, _) in states.items() for name, value in own.items()}
        tensors |= {f"nonconformity/{name}": value for name, value in band_tensors.items()}
        # Only where there is one: a bundle from before there was a choice keeps its digest.
        if self.per_task is not None:
            task_tensors, document["per_task"] = self.per_task.state()
            tensors |= {f"per_task/{name}": value for name, value in task_tensors.items()}
        return document, tensors


def _digest(document: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> str:
    state = hashlib.blake2b(json.dumps(document, sort_keys=True).encode(), digest_size=16)
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name])
        state.update(f"\0{name}\0{value.dtype.str}\0{value.shape}\0".encode())
        state.update(value.tobytes())
    return state.hexdigest()


def _identity(document: Mapping[str, Any], where: str) -> PolicyIdentity:
    space = artefact.field(document, "space", str, where)
    if space not in Space.__members__:
        raise InputError("is unknown", where=f"{where}: space", expected=", ".join(Space.__members__), found=space)
    shapes = artefact.field(document, "tensors", dict, where)
    return PolicyIdentity(
        fingerprint=artefact.field(document, "fingerprint", str, where),
        space=Space[space],
        horizon=artefact.field(document, "horizon", int, where),
        dim=artefact.field(document, "dim", int, where),
        step_duration=artefact.field(document, "step_duration", float, where),
        execute_steps=artefact.field(document, "execute_steps", int, where),
        tensors={name: tuple(artefact.field(shapes, name, list, f"{where}: tensors")) for name in shapes},
    )


def _below(tensors: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _seconds(duration: Any) -> float:
    return duration.sec + duration.nanosec * 1e-9 if hasattr(duration, "nanosec") else float(duration)


def _shown(name: str, value: Any) -> str:
    if name == "space" and value in iter(Space):
        return Space(value).name
    return str(value) or "nothing"
