"""One run of a policy process: who counts what, and how a back end's answers become chunks and traces.

An inference may run on a thread of its own, with an order made before it and its answer sealed after it, so that what
comes in meanwhile, a reset above all, finds nobody waiting. An answer to an order from before a reset is dropped.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from policy_node.assembly import image_digest
from policy_node.backends import Backend, Inference
from vla_policy.observation import Observation
from vla_uq.contracts import Chunk, Key, Trace


@dataclass(frozen=True, eq=False)
class Order:
    """An inference to be made.

    :param epoch: number of the reset that it belongs to.
    """

    observation: Observation
    epoch: int
    instruction: str
    seed: int | None


@dataclass(frozen=True, eq=False)
class Decision:
    """A chunk that is ready to leave, and what its trace will be made of."""

    chunk: Chunk
    inference: Inference
    order: Order


class PolicySession:
    """Gives every inference its key: run_id is this process, sequence never restarts, step restarts at a reset.

    :param run_id: 16 bytes; random when not given.
    """

    def __init__(self, backend: Backend, frame_id: str, run_id: bytes | None = None) -> None:
        self.backend, self.run_id = (backend, os.urandom(16) if run_id is None else run_id)
        self.instruction, self.episode_id = "", ""
        self._frame_id = frame_id
        self._sequence, self._step = 0, 0
        self._seed: int | None = None
        self._epoch, self._ready = 0, -1

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of what a trace carries."""
        return (*self.backend.info.tensors, "image_digest", "position")

    @property
    def next_sequence(self) -> int:
        """Sequence of the next inference."""
        return self._sequence

    def reset(self, episode_id: str, instruction: str, seed: int | None) -> None:
        """Begin an episode, or go on with it after a resume: the policy remembers nothing.

        The back end hears of it before its next inference.

        :param seed: of the sampling noise; None draws one from the system.
        """
        self.episode_id, self.instruction, self._seed = episode_id, instruction, seed
        self._step = 0
        self._epoch += 1

    def stop(self) -> None:
        """Take no answer to what has been ordered."""
        self._epoch += 1

    def order(self, observation: Observation) -> Order:
        """What :meth:`infer` needs to know, as of now."""
        return Order(observation, self._epoch, self.instruction, self._seed)

    def infer(self, order: Order) -> Inference:
        """Act on an observation; the only call, besides :meth:`trace`, that takes time.

        :raises BackendError: as :meth:`Backend.act`.
        """
        if self._ready != order.epoch:
            self.backend.reset(order.instruction, order.seed)
            self._ready = order.epoch
        return self.backend.act(order.observation)

    def current(self, order: Order) -> bool:
        """Whether nothing has been reset or stopped since."""
        return order.epoch == self._epoch

    def seal(self, order: Order, inference: Inference) -> Decision:
        """Give a current order's inference its key; the chunk's observation age is still to be set."""
        info, observation = self.backend.info, order.observation
        key = Key(self.run_id, self._sequence, self.episode_id, self._step)
        self._sequence += 1
        self._step += 1
        chunk = Chunk(
            key=key,
            space=info.space,
            names=info.names,
            actions=np.asarray(inference.actions, np.float32),
            gripper=np.asarray(inference.gripper, np.float32),
            step_duration=info.step_duration,
            execute_steps=info.execute_steps,
            reference=info.reference,
            frame_id=self._frame_id,
            instruction=observation.instruction,
            observation_stamp=observation.stamp,
        )
        return Decision(chunk, inference, order)

    def decide(self, observation: Observation) -> Decision:
        """All of it at once, where nothing else goes on."""
        order = self.order(observation)
        return self.seal(order, self.infer(order))

    def trace(self, decision: Decision) -> Trace:
        """What the policy was thinking, with what the monitor needs to notice a frozen camera: ``image_digest``
        (cameras,) and ``position`` (3,) m of the observation.

        :raises BackendError: as :meth:`Backend.introspect`.
        """
        observation = decision.order.observation
        tensors = dict(self.backend.introspect(decision.inference))
        tensors["image_digest"] = image_digest(observation.images)
        tensors["position"] = np.asarray(observation.position, np.float32)
        return Trace(decision.chunk.key, decision.chunk.digest, self.backend.info.fingerprint, tensors)
