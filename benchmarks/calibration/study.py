"""One pair of experts through rounds of fine-tuning: after each, success and scores of every task."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.calibration.paraphrases import paraphrases
from benchmarks.estimators.posterior import Posteriors
from benchmarks.estimators.scores import SCORES, Question
from benchmarks.experts.contexts import Demonstrations
from benchmarks.experts.heads import Heads, Training, train
from benchmarks.experts.play import Episode, Outcome
from sim_node.tasks import task_of
from vla_cli.console import Advance
from vla_cli.parallel import run_jobs

FIRST_SEED = 600_000
"""Of the episodes that measure success: used for nothing else."""
SCORED = (
    "vfd_one_way", "vfd_two_way", "last_layer_vfd", "last_layer_vfd_prior_100", "action_l2", "action_l2_shared_noise",
    "ace", "ace_per_observation", "decu", "decu_kl", "gu", "gu_jazbec", "entropy", "terminal_norm", "mode_distance",
)  # fmt: skip


@dataclass(frozen=True)
class Bed:
    """Where experts learn and act.

    :param demonstrations: of each task, as experts see them.
    :param play: plays an episode; importable by name.
    :param backbone: file of the frozen backbone that they see with; ``None`` where they are told where things are.
    """

    demonstrations: Mapping[str, Demonstrations]
    play: Callable[[Episode], Outcome]
    backbone: Path | None = None


@dataclass(frozen=True)
class Plan:
    """What every pair shares.

    :param tasks: all tasks.
    :param known: those of the pretraining, on ``pretraining`` demonstrations each.
    :param rounds: of fine-tuning after that, each with ``budget`` random demonstrations more.
    :param episodes: that measure success on each task, from ``first_seed`` on.
    :param spoken: tasks on which paraphrases are tried after the last round.
    """

    tasks: tuple[str, ...]
    known: tuple[str, ...]
    rounds: int
    budget: int = 15
    pretraining: int = 30
    episodes: int = 10
    first_seed: int = FIRST_SEED
    spoken: tuple[str, ...] = ()
    first: Training = field(default_factory=lambda: Training(4000))
    tuning: Training = field(default_factory=lambda: Training(1000, rate=3e-4))

    @property
    def others(self) -> tuple[str, ...]:
        """Tasks that were left out of the pretraining."""
        return tuple(task for task in self.tasks if task not in self.known)


@dataclass(frozen=True)
class Measured:
    """A pair after a round.

    :param success: of each task, or of each paraphrase of one task.
    :param scores: score name to its mean over the first frames of the same episodes.
    :param said: the task whose paraphrases these are; empty for the table of tasks.
    """

    pair: int
    index: int
    success: dict[str, float]
    scores: dict[str, dict[str, float]]
    said: str = ""


class Study:
    """One pair; every measurement is kept, so that an interrupted study goes on."""

    def __init__(self, bed: Bed, plan: Plan, pair: int, folder: Path, processes: int) -> None:
        self.bed, self.plan, self.pair = bed, plan, pair
        self.folder, self.processes = folder, processes
        self.file = folder / f"pair_{pair}.jsonl"

    @property
    def steps(self) -> int:
        """Measurements of a finished study."""
        return self.plan.rounds + 1 + len(self.plan.spoken)

    def run(self, advance: Advance) -> list[Measured]:
        """Do what is missing."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        done = [Measured(**json.loads(line)) for line in lines if line.endswith("}")]
        advance(len(done))
        for index in range(len(done), self.steps):
            last = self.plan.rounds
            measured = self._tasks(index) if index <= last else self._words(self.plan.spoken[index - last - 1])
            done.append(measured)
            self._keep(done)
            advance(1, f"pair {self.pair}, {measured.said or f'round {index}'}")
        return done

    def _keep(self, done: Sequence[Measured]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".part")
        partial.write_text("".join(json.dumps(asdict(measured)) + "\n" for measured in done))
        partial.replace(self.file)

    def _tasks(self, index: int) -> Measured:
        self._heads(index)
        heads = self._weights(index)
        jobs = [
            Episode(self.bed.backbone, heads, task, self.plan.first_seed + i)
            for task in self.plan.tasks
            for i in range(self.plan.episodes)
        ]
        return self._measure(index, jobs, {job: job.task for job in jobs})

    def _words(self, task: str) -> Measured:
        heads = self._weights(self.plan.rounds)
        jobs = [
            Episode(self.bed.backbone, heads, task, self.plan.first_seed + i, said)
            for said in paraphrases(task_of(task))
            for i in range(self.plan.episodes)
        ]
        return self._measure(self.plan.rounds, jobs, {job: job.said for job in jobs}, task)

    def _measure(self, index: int, jobs: Sequence[Episode], label: Mapping[Episode, str], said: str = "") -> Measured:
        wins: dict[str, list[bool]] = {}
        frames: dict[str, list[np.ndarray]] = {}
        for job, outcome in run_jobs(self.bed.play, jobs, self.processes):
            wins.setdefault(label[job], []).append(outcome.success)
            frames.setdefault(label[job], []).append(outcome.context)
        labels = sorted(wins)
        contexts = np.concatenate([np.stack(frames[name]) for name in labels]).astype(np.float64)
        heads = Heads.restore(self._weights(index))
        question = Question(heads, contexts, 1000 * self.pair + index, self._posteriors(heads, index), "delta")
        owner = np.repeat(np.arange(len(labels)), [len(frames[name]) for name in labels])
        scores = {}
        for name in SCORED:
            values = SCORES[name](question)
            scores[name] = {text: float(values[owner == i].mean()) for i, text in enumerate(labels)}
        return Measured(self.pair, index, {name: float(np.mean(wins[name])) for name in labels}, scores, said)

    # -- training --------------------------------------------------------------------------------------------------
    def _heads(self, index: int) -> None:
        """Train the experts of a round, unless they are there."""
        path = self._weights(index)
        if path.exists():
            return
        history = self._history()
        if index == 0:
            start = Heads([2 * self.pair, 2 * self.pair + 1])
            heads = train(start, [(1.0, history)], self.plan.first, self.pair)
        else:
            before = Heads.restore(self._weights(index - 1))
            pools = [(0.5, history), (0.5, self._acquired(index))]
            heads = train(before, pools, self.plan.tuning, 1000 * self.pair + index)
        heads.save(path)

    def _weights(self, index: int) -> Path:
        return self.folder / "weights" / f"pair_{self.pair}_{index}.safetensors"

    def _history(self) -> list[Demonstrations]:
        return [self.bed.demonstrations[t].of(range(self.plan.pretraining)) for t in self.plan.known]

    def _acquired(self, index: int) -> list[Demonstrations]:
        """Random demonstrations of the rounds so far."""
        found = []
        for past in range(1, index + 1):
            rng = random.Random(f"{self.pair}:{past}")
            for task in rng.choices(self.plan.others, k=self.plan.budget):
                offered = self.bed.demonstrations[task]
                found.append(offered.of([rng.randrange(min(self.plan.pretraining, offered.count))]))
        return found

    def _posteriors(self, heads: Heads, index: int) -> Posteriors:
        trained = [*self._history(), *self._acquired(index)]
        context = np.concatenate([d.context for d in trained]).astype(np.float64)
        chunk = np.concatenate([d.chunk for d in trained]).astype(np.float64)
        return Posteriors(heads.member(0), (context, chunk), self.pair)
