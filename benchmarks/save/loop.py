"""One run of active learning: a strategy, a seed, rounds of choosing, fine-tuning and rolling out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.experts.contexts import Demonstrations
from benchmarks.experts.heads import Heads, Training, train
from benchmarks.experts.play import Episode, play
from benchmarks.experts.workshop import Workshop
from benchmarks.save.strategies import STRATEGIES, Situation
from vla_cli.parallel import run_jobs
from vla_uq.acquisition import Candidate

FIRST_SEED = 500_000
"""Of the episodes that measure success: used for nothing else."""


@dataclass(frozen=True)
class Plan:
    """What every run of the comparison shares.

    :param known: tasks of the pretraining; ``wanted``: tasks whose demonstrations are offered and whose success counts.
    :param pretraining: demonstrations of each known task.
    :param offered: demonstrations of each wanted task that can be chosen.
    :param budget: demonstrations a round.
    :param episodes: that measure the success on each wanted task after each round.
    """

    known: tuple[str, ...]
    wanted: tuple[str, ...]
    rounds: int
    budget: int = 5
    pretraining: int = 40
    offered: int = 40
    episodes: int = 10
    first: Training = field(default_factory=lambda: Training(4000))
    tuning: Training = field(default_factory=lambda: Training(600, rate=3e-4))


@dataclass(frozen=True)
class RoundResult:
    """After a round; round 0 is the pretrained policy.

    :param success: share of successful episodes of each wanted task.
    :param chosen: episode ids of this round's demonstrations.
    :param log: of the strategy.
    """

    strategy: str
    seed: int
    index: int
    success: dict[str, float]
    chosen: list[str]
    log: dict[str, Any]

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.success.values())))


class Run:
    """One strategy with one seed; every round is kept, so that an interrupted run goes on after the last one.

    :param folder: of the whole comparison; pretrained experts are shared between strategies.
    """

    def __init__(self, workshop: Workshop, plan: Plan, strategy: str, seed: int, folder: Path, processes: int) -> None:
        self.workshop, self.plan, self.strategy, self.seed = workshop, plan, strategy, seed
        self.folder, self.processes = folder, processes
        self.file = folder / f"{strategy}_{seed}.jsonl"
        self.history = [self._demos(task, range(plan.pretraining)) for task in plan.known]
        self.candidates = [
            Candidate(task, f"{task}#{i}") for task in plan.wanted for i in range(self._demos_of(task, plan.offered))
        ]

    def results(self) -> list[RoundResult]:
        """What has been done so far."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [RoundResult(**json.loads(line)) for line in lines if line.endswith("}")]

    @property
    def missing(self) -> int:
        """Rounds still to do, round 0 included."""
        return self.plan.rounds + 1 - len(self.results())

    def advance(self) -> RoundResult:
        """Do the next round."""
        done = self.results()
        index = len(done)
        chosen: tuple[Candidate, ...] = ()
        log: dict[str, Any] = {}
        if index == 0:
            heads = self._pretrained()
        else:
            before = Heads.restore(self._weights(index - 1))
            acquired = [self._candidate(e) for result in done for e in result.chosen]
            strategy = STRATEGIES[self.strategy](self._situation(before, acquired), self.plan.budget)
            decision = strategy.choose(index - 1, self.candidates, acquired)
            chosen, log = decision.chosen, dict(decision.log)
            fresh = self._gathered([*acquired, *chosen])
            pools = [(0.5, self.history), (0.5, fresh)]
            heads = train(before, pools, self.plan.tuning, 1000 * self.seed + index)
        heads.save(self._weights(index))
        result = RoundResult(self.strategy, self.seed, index, self._success(index), [c.episode_id for c in chosen], log)
        with self.file.open("a") as file:
            file.write(json.dumps(asdict(result)) + "\n")
        return result

    # -- parts ---------------------------------------------------------------------------------------------------------
    def _pretrained(self) -> Heads:
        path = self.folder / f"pretrained_{self.seed}.safetensors"
        if not path.exists():
            start = Heads([2 * self.seed, 2 * self.seed + 1])
            train(start, [(1.0, self.history)], self.plan.first, self.seed).save(path)
        return Heads.restore(path)

    def _weights(self, index: int) -> Path:
        return self.folder / "weights" / f"{self.strategy}_{self.seed}_{index}.safetensors"

    def _situation(self, heads: Heads, acquired: Sequence[Candidate]) -> Situation:
        frames: dict[str, NDArray[np.float32]] = {}
        for task in self.plan.wanted:
            first = self.workshop.demonstrations[task].first_frames()
            frames |= {f"{task}#{i}": first[i] for i in range(self._demos_of(task, self.plan.offered))}
        trained = [*self.history, *self._gathered(acquired)]
        return Situation(heads, frames, self._one, trained, self.seed)

    def _gathered(self, acquired: Sequence[Candidate]) -> list[Demonstrations]:
        """All selections so far, each as often as it was made."""
        return [self._one(c) for c, times in Counter(acquired).items() for _ in range(times)]

    def _one(self, candidate: Candidate) -> Demonstrations:
        return self._demos(candidate.task, [int(candidate.episode_id.rsplit("#", 1)[1])])

    def _demos(self, task: str, episodes: Sequence[int]) -> Demonstrations:
        return self.workshop.demonstrations[task].of(episodes)

    def _demos_of(self, task: str, most: int) -> int:
        return min(most, self.workshop.demonstrations[task].count)

    def _candidate(self, episode_id: str) -> Candidate:
        return Candidate(episode_id.rsplit("#", 1)[0], episode_id)

    def _success(self, index: int) -> dict[str, float]:
        """Roll out the acting member; the same episodes after every round of every run."""
        jobs = [
            Episode(self.workshop.backbone, self._weights(index), task, FIRST_SEED + i)
            for task in self.plan.wanted
            for i in range(self.plan.episodes)
        ]
        wins: Counter[str] = Counter()
        for job, outcome in run_jobs(play, jobs, self.processes):
            wins[job.task] += outcome.success
        return {task: wins[task] / self.plan.episodes for task in self.plan.wanted}
