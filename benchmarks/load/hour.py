"""Hours of simulated time through the supervisor's core and the monitor's engine, as fast as they go.

The same classes that the nodes run, on an injected clock: joints and pose at 100 Hz, the control tick at 20 Hz,
announcements at 10 Hz, an inference whenever the policy would make one; episodes of half a minute.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.load.material import RUN, Material, StandIn
from monitor_node.engine import ScoringEngine
from supervisor_node.arms import open_arm
from supervisor_node.config import Config
from supervisor_node.core import Supervisor
from supervisor_node.states import Label, State
from supervisor_node.values import Inputs, Outputs, Request, ResetAck, Wish
from vla_uq.contracts import Key

RATE = 100
TICK, ANNOUNCE = 5, 10
"""Steps from one control tick, or announcement, to the next."""
EPISODE = 30 * RATE
WARM_UP = 0.2
"""Share of the run that a slope leaves out: caches fill, pools grow."""
COMMANDS = {"target_pose": 1, "target_joint": 1}
PAGE = 4096
COSTS = 100_000


@dataclass
class Hour:
    """What was found; one sample a simulated minute.

    :param megabytes: of memory at the end of each minute.
    :param costs: wall time of the supervisor's last steps (s), in an array that is as large from the start: what
        measures must not grow either.
    :param steps: that the supervisor made.
    """

    megabytes: list[float] = field(default_factory=list)
    costs: NDArray[np.float64] = field(default_factory=lambda: np.full(COSTS, np.nan))
    steps: int = 0
    commands: int = 0
    scores: int = 0
    alarms: int = 0
    episodes: int = 0

    @property
    def slope(self) -> float:
        """Megabytes an hour of simulated time, after the warm-up."""
        return slope(self.megabytes)


def slope(megabytes: Sequence[float]) -> float:
    """MB an hour from samples a minute apart, by least squares over what follows the warm-up."""
    kept = list(megabytes)[int(len(megabytes) * WARM_UP) :]
    return float(np.polyfit(np.arange(len(kept)) / 60, kept, 1)[0]) if len(kept) > 2 else float("nan")


def resident() -> float:
    """Megabytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


def allocated() -> float:
    """Megabytes that Python's own allocations hold, while they are traced."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / 1e6


class Runner:
    """Supervisor, engine and arm on one clock of whole hundredths of a second."""

    def __init__(self, material: Material) -> None:
        self._material, self._arm, self.found = material, StandIn(), Hour()
        self._supervisor, self._engine = (
            Supervisor(Config(), open_arm("franka_crisp_sim"), RUN),
            ScoringEngine(material.bundle),
        )
        self._step = self._id = self._sequence = self._inference = self._began = 0
        self._episode, self._infer_at = "", -1

    def minutes(
        self, count: int, measure: Callable[[], float], advance: Callable[[int], None] = lambda n: None
    ) -> Hour:
        """Run for so many minutes, measuring the memory after each."""
        for _ in range(count):
            for _ in range(60 * RATE):
                self._moment()
            self.found.megabytes.append(measure())
            advance(1)
        return self.found

    def _give(self, **inputs: object) -> Outputs:
        before = time.perf_counter()
        out = self._supervisor.step(self._step / RATE, Inputs(**inputs))  # type: ignore[arg-type]
        self.found.costs[self.found.steps % COSTS] = time.perf_counter() - before
        self.found.steps += 1
        if out.command is not None:
            self.found.commands += 1
            self._arm.obey(out.command.motion)
        if out.reset is not None:
            self._episode, self._inference, self._infer_at = out.reset.episode_id, 0, self._step + 2
            self._engine.reset(self._episode)
            self._give(reset_ack=ResetAck(True, "", RUN, self._sequence))
        return out

    def _moment(self) -> None:
        self._step += 1
        self._arm.advance(1 / RATE)
        stamp = divmod(self._step * (10**9 // RATE), 10**9)
        self._give(joints=self._arm.joints(stamp), pose=self._arm.pose(stamp))
        if self._step % ANNOUNCE == 0:
            policy, monitor = self._material.announcements()
            self._give(policy=policy, monitor=monitor, publishers=COMMANDS, subscribers=COMMANDS, adapter="")
        if self._step % TICK == 0:
            self._give(tick=True)
        if self._step == self._infer_at:
            self._infer()
        self._operate()

    def _infer(self) -> None:
        chunk = self._material.chunk(Key(RUN, self._sequence, self._episode, self._inference))
        policy = self._material.policy
        self._infer_at = self._step + round(policy.execute_steps * policy.step_duration * RATE)
        self._sequence, self._inference = self._sequence + 1, self._inference + 1
        score = self._engine.score(self._material.trace(chunk))
        self.found.scores += 1
        self.found.alarms += not score.passes
        self._give(chunk=chunk)
        self._give(score=score)

    def _operate(self) -> None:
        """Start an episode where none runs; end the one that halted or has lasted long enough."""
        state = self._supervisor.state
        if state is State.IDLE:
            self._began, self.found.episodes = self._step, self.found.episodes + 1
            self._ask(Wish.START)
        elif state is State.HALTED or (state is State.AUTONOMOUS and self._step - self._began >= EPISODE):
            self._infer_at = -1
            self._ask(Wish.END)

    def _ask(self, wish: Wish) -> None:
        self._id += 1
        self._give(requests=(Request(self._id, wish, "load", Label.DISCARD),))
