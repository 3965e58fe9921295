"""One run of active learning: a strategy, a seed, rounds of choosing, fine-tuning and rolling out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.experts.contexts import Demonstrations
from benchmarks.experts.heads import Heads, Training, train
from benchmarks.experts.play import Episode, play
from benchmarks.experts.workshop import Workshop, restore
from benchmarks.save.strategies import STRATEGIES, Situation
from vla_cli.parallel import run_jobs
from vla_uq.acquisition import Candidate

FIRST_SEED = 500_000
"""Of the episodes that measure success: used for nothing else."""


@dataclass(frozen=True)
class Plan:
    """What every run of the comparison shares.

    :param known: tasks of the pretraining.
    :param wanted: tasks whose demonstrations are offered and whose success counts; some of them are known already, as
        in the paper, and a demonstration of one of those buys little.
    :param pretraining: demonstrations of each known task.
    :param offered: demonstrations of each wanted task that can be chosen.
    :param budget: demonstrations a round.
    :param episodes: that measure the success on each wanted task after each round.
    """

    known: tuple[str, ...]
    wanted: tuple[str, ...]
    rounds: int
    budget: int = 5
    pretraining: int = 20
    offered: int = 40
    episodes: int = 4
    first: Training = field(default_factory=lambda: Training(2000))
    tuning: Training = field(default_factory=lambda: Training(300, batch=128, rate=3e-4))


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

    :param folder: of the whole comparison; what the runs of a seed share is kept there once.
    """

    def __init__(self, workshop: Workshop, plan: Plan, strategy: str, seed: int, folder: Path) -> None:
        self.workshop, self.plan, self.strategy, self.seed, self.folder = workshop, plan, strategy, seed, folder
        self.history = [self._demos(task, range(plan.pretraining)) for task in plan.known]
        self.candidates = [
            Candidate(task, f"{task}#{i}") for task in plan.wanted for i in range(self._demos_of(task, plan.offered))
        ]

    def advance(self) -> RoundResult:
        """Do the next round."""
        done = rounds_of(self.folder, self.strategy, self.seed)
        index = len(done)
        chosen: tuple[Candidate, ...] = ()
        log: dict[str, Any] = {}
        if index == 0:
            success = self._start()
        else:
            before = Heads.restore(self._pretrained() if index == 1 else self._weights(index - 1))
            acquired = [self._candidate(e) for result in done for e in result.chosen]
            strategy = STRATEGIES[self.strategy](self._situation(before, acquired), self.plan.budget)
            decision = strategy.choose(index - 1, self.candidates, acquired)
            chosen, log = decision.chosen, dict(decision.log)
            pools = [(0.5, self.history), (0.5, self._gathered([*acquired, *chosen]))]
            train(before, pools, self.plan.tuning, 1000 * self.seed + index).save(self._weights(index))
            success = self._success(self._weights(index))
        result = RoundResult(self.strategy, self.seed, index, success, [c.episode_id for c in chosen], log)
        _keep(_file(self.folder, self.strategy, self.seed), [*done, result])
        if index > 1:
            self._weights(index - 1).unlink()
        return result

    # -- parts ---------------------------------------------------------------------------------------------------------
    def _start(self) -> dict[str, float]:
        """Success of the pretrained policy, which is the same for all strategies of a seed."""
        kept = self.folder / f"pretrained_{self.seed}.json"
        if not kept.exists():
            kept.write_text(json.dumps(self._success(self._pretrained())))
        found: dict[str, float] = json.loads(kept.read_text())
        return found

    def _pretrained(self) -> Path:
        path = self.folder / f"pretrained_{self.seed}.safetensors"
        if not path.exists():
            start = Heads([2 * self.seed, 2 * self.seed + 1])
            train(start, [(1.0, self.history)], self.plan.first, self.seed).save(path)
        return path

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

    def _success(self, weights: Path) -> dict[str, float]:
        """Roll out the acting member; the same episodes after every round of every run."""
        return {
            task: float(
                np.mean(
                    [
                        play(Episode(self.workshop.backbone, weights, task, FIRST_SEED + i)).success
                        for i in range(self.plan.episodes)
                    ]
                )
            )
            for task in self.plan.wanted
        }


@dataclass(frozen=True)
class Turn:
    """The next round of one run: a job for another process.

    :param backbone: and ``files``: what :func:`benchmarks.experts.workshop.restore` takes.
    """

    backbone: Path
    files: tuple[Path, ...]
    plan: Plan
    strategy: str
    seed: int
    folder: Path


def take(turn: Turn) -> RoundResult:
    """Do it."""
    workshop = restore(turn.backbone, turn.files)
    return Run(workshop, turn.plan, turn.strategy, turn.seed, turn.folder).advance()


def rounds(
    workshop: Workshop, plan: Plan, strategies: Sequence[str], seeds: Sequence[int], folder: Path, processes: int
) -> Iterator[RoundResult]:
    """Everything that is missing, round after round, so that an interrupted comparison compares equally many."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(plan.rounds + 1):
        # Runs of a seed share round 0: one of them makes it, the others read it.
        for names in (strategies[:1], strategies[1:]) if index == 0 else (strategies,):
            missing = [
                Turn(workshop.backbone, workshop.files, plan, name, seed, folder)
                for seed in seeds
                for name in names
                if len(rounds_of(folder, name, seed)) == index
            ]
            yield from (result for _, result in run_jobs(take, missing, processes))


def _keep(file: Path, results: Sequence[RoundResult]) -> None:
    partial = file.with_suffix(".part")
    partial.write_text("".join(json.dumps(asdict(result)) + "\n" for result in results))
    partial.replace(file)


def rounds_of(folder: Path, strategy: str, seed: int) -> list[RoundResult]:
    """What has been done of one run."""
    file = _file(folder, strategy, seed)
    lines = file.read_text().splitlines() if file.exists() else []
    return [RoundResult(**json.loads(line)) for line in lines]


def _file(folder: Path, strategy: str, seed: int) -> Path:
    return folder / f"{strategy}_{seed}.jsonl"
