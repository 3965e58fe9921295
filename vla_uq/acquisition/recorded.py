"""Candidates that were recorded: what the policy thought at the first frame of each episode of a rollout store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.acquisition.candidates import Candidate
from vla_uq.errors import InputError
from vla_uq.evaluation.splits import task_key
from vla_uq.rollouts.store import Rollout, RolloutStore
from vla_uq.uncertainty.chunks import MORE_DRAWS

Frame = Mapping[str, NDArray[np.floating[Any]]]
TOLERANCE = 1e-5
"""By how much flow times may differ between candidates."""
REMEDIES = {
    "velocities": "record them with a flow policy of two members or more, or choose without them, as at random",
    "samples": MORE_DRAWS,
    "last_layer": "record it: vla-monitor rollouts --last-layer, or last_layer: true of policy_node",
}


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidate episodes of one policy.

    :param policy: its fingerprint.
    :param rollouts: by candidate; the tensors stay on disk.
    """

    policy: str
    rollouts: Mapping[Candidate, Rollout]

    @classmethod
    def open(cls, store: RolloutStore) -> Pool:
        """All episodes of a store.

        :raises InputError: when there are fewer than two, one is broken, or they are of several policies.
        """
        rollouts = {Candidate(task_key(r.meta), r.meta.episode_id): r for r in store}
        if len(rollouts) < 2:
            raise InputError(
                "nothing to choose between",
                where=str(store.folder),
                expected="2 candidates or more, rollout-*.safetensors",
                found=len(rollouts),
                remedy="record some with `vla-monitor rollouts`, or import bags with `vla-monitor import`",
            )
        policies = sorted({rollout.meta.policy_fingerprint for rollout in rollouts.values()})
        if len(policies) > 1:
            raise InputError(
                "candidates of several policies",
                where=f"{store.folder}: policy_fingerprint",
                expected="one: their scores do not compare",
                found=", ".join(policies),
                remedy="give each policy a folder of its own",
            )
        return cls(policies[0], rollouts)

    def first_frames(self, names: Sequence[str]) -> Iterator[tuple[Candidate, Frame]]:
        """The named tensors of each candidate's first inference; one candidate is in memory at a time.

        :raises InputError: naming the episode that lacks a tensor, or has another shape or other flow times than the
            first: scores of those do not compare.
        """
        usual: Frame = {}
        for candidate, rollout in self.rollouts.items():
            frame = {name: _recorded(rollout, name)[0] for name in names}
            usual = usual or frame
            for name, value in frame.items():
                _check(value, usual[name], f"{candidate.episode_id}: {name}", is_time=name == "flow_times")
            yield candidate, frame


def _recorded(rollout: Rollout, name: str) -> NDArray[Any]:
    try:
        return rollout.tensor(name)
    except InputError as error:
        remedy = REMEDIES.get(name, "")
        raise InputError(
            error.what, where=error.where, expected=error.expected, found=error.found, remedy=remedy
        ) from error


def _check(value: NDArray[Any], usual: NDArray[Any], where: str, *, is_time: bool) -> None:
    if not np.issubdtype(value.dtype, np.floating):
        raise InputError("has the wrong type", where=where, expected="floating point", found=value.dtype)
    if value.shape != usual.shape:
        raise InputError("differs from the other candidates", where=where, expected=usual.shape, found=value.shape)
    if is_time and not np.allclose(value, usual, rtol=0.0, atol=TOLERANCE):
        raise InputError("differ from the other candidates", where=where, expected=usual, found=value)
