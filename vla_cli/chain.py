"""Bed, policy, monitor and gate composed in one process, in lockstep: one seed, the same bytes twice.

The same classes that the nodes run, without DDS between them and with simulation steps as the clock. Calibration
and benchmarks roll out through it; nothing here may decide anything that the nodes decide differently.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vla_cli.episodes import Episode
from vla_cli.robots import FRANKA
from vla_uq.contracts import Score, Trace
from vla_uq.errors import InputError
from vla_uq.wire import Array

if TYPE_CHECKING:
    from monitor_node.engine import ScoringEngine
    from policy_node.backends import Backend
    from policy_node.session import PolicySession
    from sim_node.bed import Bed
    from vla_cli.lockstep import LockstepArm, LockstepSupervisor

FRAME = "base"
RUN_ID = bytes(range(16))
"""A run in one process has one policy process; a fixed id keeps its output reproducible."""


@dataclass(frozen=True, eq=False)
class EpisodeRecord:
    """What became of one episode.

    :param steps: control steps until success, the horizon or the halt.
    :param horizon: control steps after which it would have failed.
    :param tensors: name to (T, ...), one entry an inference.
    :param scores: of each inference; empty without a bundle.
    :param alarm_step: index of the first inference whose score did not pass.
    :param halted: the supervisor stopped the arm and measured it at rest; the episode ended there.
    :param alarm_to_rest: simulated seconds from the alarm to measured rest; NaN without a halt.
    :param reason: why the supervisor halted, in words.
    """

    episode: Episode
    success: bool
    steps: int
    horizon: int
    tensors: dict[str, Array]
    scores: list[Score] = field(default_factory=list)
    alarm_step: int | None = None
    halted: bool = False
    alarm_to_rest: float = math.nan
    reason: str = ""


class Chain:
    """Plays episodes in this process.

    :param engine: scores each inference; None while there is no bundle yet (the first rollouts).
    """

    def __init__(self, bed: Bed, backend: Backend, engine: ScoringEngine | None = None) -> None:
        self.bed, self.backend, self.engine = bed, backend, engine

    def run(self, episode: Episode) -> EpisodeRecord:
        """Play one episode to its success, its horizon or, in guard mode, its halt.

        :raises InputError: on an unknown task or disturbance, guard mode without a bundle, or a policy that the arm
            cannot execute or the bundle was not made for.
        """
        from policy_node.session import PolicySession
        from vla_cli.lockstep import LockstepArm, LockstepSupervisor

        if episode.mode == "guard" and self.engine is None:
            raise InputError("guard mode needs a bundle", where="mode", remedy="give --bundle, or use shadow mode")
        self.bed.reset(episode.task, episode.seed, episode.disturbance)
        arm = LockstepArm(self.bed)
        identity = None if self.engine is None else self.engine.bundle.policy
        supervisor = LockstepSupervisor(arm, episode.mode, self.backend.info, identity)
        order = supervisor.start(self.bed.instruction)
        session = PolicySession(self.backend, FRAME, RUN_ID)
        session.reset(order.episode_id, order.instruction, episode.seed)
        if self.engine is not None:
            self.engine.reset(order.episode_id)
            self.engine.instruct(order.episode_id, order.instruction)
        supervisor.acknowledge(RUN_ID, session.next_sequence)
        return self._play(episode, arm, supervisor, session)

    def _play(
        self, episode: Episode, arm: LockstepArm, supervisor: LockstepSupervisor, session: PolicySession
    ) -> EpisodeRecord:
        from supervisor_node.states import State

        traces: list[Trace] = []
        scores: list[Score] = []
        bed, success = self.bed, False
        while bed.step < bed.horizon and not success:
            out = supervisor.look()
            if out.waiting:
                decision = session.decide(arm.observe())
                traces.append(session.trace(decision))
                if self.engine is not None:
                    scores.append(self.engine.score(traces[-1]))
                out = supervisor.give(decision.chunk, scores[-1] if scores else None)
            if out.command is None or out.state.state in (State.HALTED, State.FAULT):
                break
            arm.execute(out.command)
            success = bed.success()
        state = supervisor.core.snapshot()
        stacked = {name: np.stack([trace.tensors[name] for trace in traces]) for name in traces[0].tensors}
        return EpisodeRecord(
            episode=episode,
            success=success,
            steps=bed.step,
            horizon=bed.horizon,
            tensors=stacked,
            scores=scores,
            alarm_step=next((step for step, score in enumerate(scores) if not score.passes), None),
            halted=state.halt_verified,
            alarm_to_rest=state.alarm_to_rest,
            reason=state.text,
        )


@functools.lru_cache(maxsize=1)
def open_chain(policy: Path, bundle: Path | None = None, robot: str = FRANKA, **options: Any) -> Chain:
    """A chain over a policy folder and a bundle, made once a process.

    :param robot: on the bed.
    :param options: of the policy's back end, such as ``draws``.
    """
    from policy_node import backends
    from sim_node.bed import Bed

    engine: Any = None
    if bundle is not None:
        from monitor_node.engine import ScoringEngine
        from vla_uq.bundle import Bundle

        engine = ScoringEngine(Bundle.load(bundle))
    return Chain(Bed(robot=robot), backends.load("", policy, **options), engine)
