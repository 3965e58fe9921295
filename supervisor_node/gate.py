"""The gate: nothing of a chunk moves the arm before its own passing score (contracts.md §5).

Chunks and scores are accepted in either order within a session, which opens with the policy's acknowledgement of a
reset and ends with the halt. Whatever came before, late or twice is discarded and counted.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from supervisor_node.announcements import PolicyAnnouncement, same_time
from supervisor_node.arms.base import Arm
from supervisor_node.config import Config
from supervisor_node.ensembling import Ensembling
from supervisor_node.states import Mode
from supervisor_node.table import Event, Occurrence
from supervisor_node.values import NO_KEY, Measured, Motion, ResetAck
from vla_uq.contracts import Chunk, Key, Score, Space

Vector = NDArray[np.float64]
_KEPT = 8
_DELTAS = frozenset({Space.EE_DELTA, Space.JOINT_VELOCITY})
"""Spaces whose actions are displacements: none of them may be skipped."""
_SHADOW_MARGIN = 0.02
"""A chunk that waits for a score in shadow mode is released so many seconds before it would be too late."""


@dataclass(eq=False)
class _Waiting:
    """A chunk on its way; once released, with what is executed of it (see :mod:`supervisor_node.ensembling`)."""

    chunk: Chunk
    observed: float
    received: float
    executed: Chunk
    path: Vector | None = None


class Gate:
    """Pairs chunks with scores, releases what passes, and says which action is due."""

    def __init__(self, arm: Arm, config: Config) -> None:
        self._arm, self._config = arm, config
        self.mode = config.mode
        self.released: Key = NO_KEY
        self.discarded = 0
        self.gaps = 0
        self._ensembling = Ensembling(config.ensembling)
        self.close()

    # -- session ---------------------------------------------------------------------------------------------------
    def close(self) -> None:
        """Nothing passes, nothing is kept."""
        self._episode: str | None = None
        self._ack: ResetAck | None = None
        self._early: deque[tuple[float, float, Chunk | Score]] = deque(maxlen=2 * _KEPT)
        self._waiting: dict[int, _Waiting] = {}
        self._scores: dict[int, Score] = {}
        self._last: tuple[int, int] = (-1, -1)
        self._current: _Waiting | None = None
        self._sent = 0
        # A session begins with the arm at rest.
        self._held_since = -math.inf
        self._ensembling.start()

    def expect(self, episode_id: str, policy: PolicyAnnouncement | None) -> None:
        """A reset was sent to the policy: what comes is kept until its answer says what is new."""
        self.close()
        self._episode, self._policy = episode_id, policy

    def acknowledge(self, ack: ResetAck) -> list[Occurrence]:
        """The policy answered: what came early and is new is looked at now."""
        self._ack = ack
        found: list[Occurrence] = []
        for now, observed, item in list(self._early):
            found += self.chunk(now, observed, item) if isinstance(item, Chunk) else self.score(item)
        self._early.clear()
        return found

    @property
    def acknowledged(self) -> bool:
        return self._ack is not None

    @property
    def starved(self) -> str:
        """The newest chunk that waits for its score, in words, or ""."""
        return str(self._waiting[max(self._waiting)].chunk.key) if self._waiting else ""

    # -- what comes in ---------------------------------------------------------------------------------------------
    def chunk(self, now: float, observed: float, chunk: Chunk) -> list[Occurrence]:
        """Take a chunk.

        :param observed: when the joint state that it was made from was received, on our clock.
        """
        if self._episode is None:
            return []
        if self._ack is None:
            self._early.append((now, observed, chunk))
            return []
        sequence, step = chunk.key.sequence, chunk.key.step
        if not self._in_session(chunk.key) or sequence <= self._last[0]:
            self.discarded += 1
            return []
        problem = self._malformed(chunk)
        if problem:
            return [Occurrence(Event.BAD_CHUNK, f"chunk {chunk.key}: {problem}", chunk.key)]
        self.gaps += sequence - self._last[0] - 1 if self._last[0] >= 0 else 0
        self._last = (sequence, step)
        if not 0 <= chunk.observation_age <= self._config.max_observation_age + self._config.policy_gap:
            self.discarded += 1
            return []
        self._waiting[sequence] = _Waiting(chunk, observed, now, chunk)
        _forget_oldest(self._waiting)
        return self._digests(sequence)

    def score(self, score: Score) -> list[Occurrence]:
        """Take a score; one of this session that does not pass is an event whether or not its chunk came."""
        if self._episode is None:
            return []
        if self._ack is None:
            self._early.append((0.0, 0.0, score))
            return []
        if not self._in_session(score.key):
            return []
        if not (math.isfinite(score.nonconformity) and math.isfinite(score.threshold)):
            text = f"score {score.key}: {score.nonconformity} against {score.threshold} is not finite"
            return [Occurrence(Event.BAD_SCORE, text, score.key), *self._keep(score)]
        if not score.passes:
            text = f"score {score.key}: {score.nonconformity:.3g} against {score.threshold:.3g}"
            event = Event.FROZEN_CAMERA if score.frozen_camera else Event.ALERT
            text = f"frozen camera; {text}" if score.frozen_camera else text
            return [Occurrence(event, text, score.key), *self._keep(score)]
        return self._keep(score)

    def _keep(self, score: Score) -> list[Occurrence]:
        # The first score of a key stays: a later one that passes must not undo one that did not.
        self._scores.setdefault(score.key.sequence, score)
        _forget_oldest(self._scores)
        return self._digests(score.key.sequence)

    def _digests(self, sequence: int) -> list[Occurrence]:
        """Compare the digest of a chunk with its score's, once both are there."""
        waiting, score = self._waiting.get(sequence), self._scores.get(sequence)
        if waiting is None or score is None:
            return []
        if score.key == waiting.chunk.key and score.chunk_digest == waiting.chunk.digest:
            return []
        del self._scores[sequence]
        return [Occurrence(Event.BAD_SCORE, f"score {score.key} is of another chunk (digest)", score.key)]

    def _in_session(self, key: Key) -> bool:
        ack = self._ack
        return ack is not None and key.run_id == ack.run_id and key.sequence >= ack.first_sequence

    def _malformed(self, chunk: Chunk) -> str:
        """What is wrong with a chunk, or ""."""
        policy = self._policy
        if chunk.key.episode_id != self._episode:
            return f"episode_id: expected {self._episode}, found {chunk.key.episode_id}"
        if chunk.key.step <= self._last[1]:
            return f"step: {chunk.key.step} after {self._last[1]}: the policy was reset by somebody else"
        if chunk.claimed_digest is not None and chunk.claimed_digest != chunk.digest:
            return "digest: not that of the actions"
        if not (np.isfinite(chunk.actions).all() and np.isfinite(chunk.gripper).all()):
            return "actions or gripper: not finite"
        if len(chunk.gripper) and (chunk.gripper.min() < 0 or chunk.gripper.max() > 1):
            return "gripper: expected 0..1"
        if policy is not None:
            for field, announced, found in _fields(policy, chunk):
                if announced != found:
                    return f"{field}: announced {announced}, found {found}"
            if not same_time(policy.step_duration, chunk.step_duration):
                return f"step_duration: announced {policy.step_duration:g} s, found {chunk.step_duration:g} s"
        return self._arm.check(chunk)

    # -- what goes out ---------------------------------------------------------------------------------------------
    def release(self, now: float) -> Chunk | None:
        """Release the newest chunk that may move the arm; None when there is none newer than the current one.

        A delta is not skipped, for that displacement would be lost: a chunk of deltas or velocities starts at its
        first action when that is at most one step late, else it is discarded. In a declared gap the arm stands still,
        so that nothing becomes late by it. Absolute actions are skipped up to now.
        """
        for sequence in sorted(self._waiting, reverse=True):
            waiting = self._waiting[sequence]
            if not self._passes(waiting, now):
                continue
            for older in [s for s in self._waiting if s <= sequence]:
                self.discarded += older != sequence
                del self._waiting[older]
            if self._too_late(now, waiting):
                self.discarded += 1
                return None
            self._current, self._sent, self._held_since = waiting, 0, math.inf
            self.released = waiting.chunk.key
            waiting.executed = self._ensembling.take(waiting.chunk)
            return waiting.chunk
        return None

    def solve(self, measured: Measured, last: Motion | None) -> Occurrence | None:
        """Let the arm find its way along the chunk that was just released; what is wrong with it when it cannot."""
        if self._current is None:
            return None
        chunk = self._current.executed
        solution = self._arm.solve(chunk, measured, last)
        self._current.path = solution.path
        if not solution.problem:
            return None
        self._current = None
        return Occurrence(Event.BAD_CHUNK, f"chunk {chunk.key}: {solution.problem}", chunk.key)

    @property
    def path(self) -> Vector | None:
        """What the arm made of the current chunk, for :meth:`supervisor_node.arms.base.Arm.plan`."""
        return self._current.path if self._current is not None else None

    @property
    def digest(self) -> int:
        """Of the current chunk, as it was published and scored."""
        return self._current.chunk.digest if self._current is not None else 0

    def _passes(self, waiting: _Waiting, now: float) -> bool:
        score = self._scores.get(waiting.chunk.key.sequence)
        if self.mode is Mode.GUARD:
            return score is not None and score.passes
        if score is not None or not self._config.require_monitor:
            return True
        patience = waiting.received + self._config.shadow_wait
        if waiting.chunk.space in _DELTAS:
            patience = min(patience, waiting.observed + 2 * waiting.chunk.step_duration - _SHADOW_MARGIN)
        return now >= patience

    def _too_late(self, now: float, waiting: _Waiting) -> bool:
        if waiting.chunk.space not in _DELTAS:
            return self._steps(now, waiting) >= waiting.chunk.horizon
        moved = min(now, self._held_since) if self._config.policy_gap else now
        return self._steps(moved, waiting) > 1

    def upcoming(self, now: float) -> tuple[Chunk, int] | None:
        """What is executed, and the index of the action that is due; None when what was released is used up."""
        if self._current is None:
            return None
        chunk = self._current.executed
        index = self._sent if chunk.space in _DELTAS else self._steps(now, self._current)
        # In lockstep the arm waits for us, so that an overlap is never needed: chunk k+1 follows exactly.
        end = chunk.execute_steps if self._config.lockstep else chunk.horizon
        return (chunk, index) if index < end else None

    def sent(self) -> None:
        """The upcoming action was sent."""
        self._sent += 1

    def ran_out(self, now: float) -> bool:
        """What was released is used up, for longer than the policy declared; until then the arm holds by itself."""
        if self.upcoming(now) is not None:
            return False
        self._held_since = min(self._held_since, now)
        return now - self._held_since >= self._config.policy_gap

    def _steps(self, now: float, waiting: _Waiting) -> int:
        return math.floor(max(now - waiting.observed, 0.0) / waiting.chunk.step_duration + 1e-6)


def _fields(policy: PolicyAnnouncement, chunk: Chunk) -> Iterator[tuple[str, object, object]]:
    """What a chunk repeats of its policy's announcement: field, announced, found."""
    yield "space", policy.space.name, chunk.space.name
    yield "reference", policy.reference.name, chunk.reference.name
    yield "names", policy.names, chunk.names
    yield "horizon", policy.horizon, chunk.horizon
    yield "dim", policy.dim, int(chunk.actions.shape[1])
    yield "execute_steps", policy.execute_steps, chunk.execute_steps


def _forget_oldest(items: dict[int, Any]) -> None:
    while len(items) > _KEPT:
        del items[min(items)]
