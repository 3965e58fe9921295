"""Episodes that one calibration may use together: of one policy, one mode, one rate, one set of cameras."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from vla_uq.bundle import PolicyIdentity
from vla_uq.errors import InputError
from vla_uq.rollouts.store import LazyTensors, Rollout, RolloutMeta

RAGGED = "token_"
"""Tensors of these names are padded to the longest inference of their episode, so their shapes say nothing."""
EXTRAS = ("cameras", "policy")
"""What must be the same in all episodes, of what their writers noted."""


def check_usable(meta: RolloutMeta, policy: PolicyIdentity) -> None:
    """Refuse an episode that was cut short by the monitor, or is of another policy or another rate.

    A rate that nobody noted (0) passes.

    :raises InputError: naming episode and field.
    """
    where = meta.episode_id
    if meta.halted or meta.mode != "shadow":
        raise InputError(
            "episode was guarded",
            where=f"{where}: mode",
            expected="shadow, not halted",
            found=f"{meta.mode}{', halted' if meta.halted else ''}",
            remedy="record calibration and training episodes in shadow mode",
        )
    if meta.policy_fingerprint != policy.fingerprint:
        raise InputError(
            "episode is of another policy",
            where=f"{where}: policy_fingerprint",
            expected=policy.fingerprint,
            found=meta.policy_fingerprint,
        )
    if meta.execute_steps and meta.execute_steps != policy.execute_steps:
        raise _other_rate(where, "execute_steps", policy.execute_steps, meta.execute_steps)
    if meta.step_duration and not math.isclose(meta.step_duration, policy.step_duration, rel_tol=1e-6):
        raise _other_rate(where, "step_duration", f"{policy.step_duration:g} s", f"{meta.step_duration:g} s")
    if meta.success is None:
        raise InputError("episode has no outcome", where=where, expected="success or failure")


def check_alike(rollouts: Sequence[Rollout], needs: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Refuse episodes that differ in their cameras or in the shape of a tensor.

    What a writer did not note of an episode passes.

    :param needs: the tensors that matter.
    :returns: the shape of each in one inference.
    :raises InputError: naming the first episode that differs, and the field.
    """
    first = rollouts[0]
    shapes = _shapes(first, needs)
    noted: dict[str, RolloutMeta] = {}
    for rollout in rollouts:
        meta = rollout.meta
        for name in EXTRAS:
            if meta.extra.get(name) is None:
                continue
            before = noted.setdefault(name, meta)
            if before.extra[name] != meta.extra[name]:
                raise _differs(meta, name, meta.extra[name], before, before.extra[name])
        for name, shape in _shapes(rollout, shapes).items():
            if shape != shapes[name] and not name.startswith(RAGGED):
                raise _differs(meta, name, _size(shape), first.meta, _size(shapes[name]))
    return shapes


def all_shapes(rollout: Rollout) -> Mapping[str, tuple[int, ...]]:
    """Shape of every tensor with its leading axis, without reading those on disk."""
    if isinstance(rollout.tensors, LazyTensors):
        return rollout.tensors.shapes
    return {name: value.shape for name, value in rollout.tensors.items()}


def _shapes(rollout: Rollout, names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    shapes = all_shapes(rollout)
    # A missing one is left to the rollout itself, which says what it has instead.
    return {name: (shapes[name] if name in shapes else rollout.tensor(name).shape)[1:] for name in names}


def _other_rate(episode: str, name: str, expected: object, found: object) -> InputError:
    return InputError(
        "episode was recorded at another rate", where=f"{episode}: {name}", expected=expected, found=found
    )


def _differs(meta: RolloutMeta, name: str, found: object, before: RolloutMeta, expected: object) -> InputError:
    return InputError(
        "episodes are a mixture",
        where=f"{meta.episode_id}: {name}",
        expected=f"{expected} as in {before.episode_id}",
        found=found,
        remedy="calibrate each kind of episode by itself",
    )


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"
