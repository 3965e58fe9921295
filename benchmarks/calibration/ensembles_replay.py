"""What the policy was told in recorded episodes: each is played again from its own chunks, without cameras.

A rollout keeps what its policy thought, and of its context all but the proprioception and the instruction. The bed is
deterministic, so that the recorded chunks move the arm as they did then, and the body says what it felt.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from policy_node.backends import Inference
from policy_node.backends.body import Body
from sim_node.bed import Bed
from vla_cli.chain import Chain
from vla_cli.episodes import Episode
from vla_policy.instruction import embed
from vla_policy.manifest import FlowManifest
from vla_policy.observation import Observation, initial_gripper, proprioception
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout, RolloutStore, open_rollout
from vla_uq.wire import Array

TOLERANCE = 1e-5
"""Metres that the arm may be from where it was."""


@dataclass(frozen=True)
class Job:
    """One rollout to play again.

    :param source: the rollout's file.
    :param out: store that takes the contexts.
    """

    source: Path
    policy: Path
    out: Path


class Recorded:
    """A back end that decides what its policy once decided; its trace is the context that it decided on.

    :param manifest: of the policy.
    """

    def __init__(self, manifest: FlowManifest) -> None:
        self._manifest, self._body = manifest, Body(manifest)
        self.info = self._body.spec("onnx", ("context",))
        self._step, self._gripper = 0, dict[int, float]()

    def follow(self, rollout: Rollout) -> None:
        """Take the decisions of another rollout."""
        self._chunks = rollout.tensor("samples")[:, 0, 0]
        self._features = rollout.tensor("features")[:, : self._manifest.feature_slice[1]]

    def reset(self, instruction: str, seed: int | None) -> None:
        """See :meth:`Backend.reset`."""
        self._body.reset(instruction)
        self._text, self._step, self._gripper = embed(instruction), 0, {}

    def act(self, observation: Observation) -> Inference:
        """See :meth:`Backend.act`.

        :raises InputError: when the recorded episode had ended before.
        """
        step = self._step
        if step >= len(self._chunks):
            raise _other_course(observation.instruction, f"more than {step} inferences")
        felt = proprioception(observation, self._gripper.get(step - 1, initial_gripper(observation)))
        actions, opening = self._body.execute(self._chunks[step])
        self._gripper[step], self._step = float(opening[self._manifest.execute_steps - 1]), step + 1
        return Inference(actions, opening, np.concatenate([self._features[step], felt, self._text]))

    def introspect(self, inference: Inference) -> Mapping[str, Array]:
        """See :meth:`Backend.introspect`: ``context`` (173,)."""
        return {"context": np.asarray(inference.memory)}

    def close(self) -> None:
        """See :meth:`Backend.close`."""


def replay(job: Job) -> None:
    """Play one rollout again and write its contexts, (T, 173); runs in a process of its own.

    :raises InputError: when the arm goes elsewhere than it went.
    """
    recorded, chain = _chain(job.policy)
    rollout = open_rollout(job.source)
    recorded.follow(rollout)
    meta = rollout.meta
    found = chain.run(Episode(meta.task, meta.seed, meta.disturbance)).tensors
    before = rollout.tensor("position")
    if len(found["position"]) != len(before) or np.abs(found["position"] - before).max() > TOLERANCE:
        raise _other_course(meta.episode_id, f"{len(found['position'])} inferences instead of {len(before)}")
    RolloutStore(job.out).add(Rollout(meta, {"context": found["context"]}))


@functools.lru_cache(maxsize=1)
def _chain(policy: Path) -> tuple[Recorded, Chain]:
    recorded = Recorded(FlowManifest.load(policy))
    return recorded, Chain(Bed(render=False), recorded)


def _other_course(where: str, found: str) -> InputError:
    return InputError(
        "episode does not repeat itself",
        where=where,
        expected="the positions that were recorded",
        found=found,
        remedy="collect the rollouts on this machine: delete the folder and run again",
    )
