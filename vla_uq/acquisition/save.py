"""SAVE: demonstrations go to the tasks, and in them to the initial states, that the policy is least sure of.

Round r of arXiv 2606.18043: u_e is the uncertainty of an episode's first frame, u_k the mean over a task's episodes;
tasks are drawn one after the other with P(k) ∝ max(u_k, 0)^τ, and of each drawn task the most uncertain episodes are
taken. Everything is scored again each round, and what was chosen before may be chosen again: repeats act as weights.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.acquisition.candidates import Candidate, Round, by_task, check_budget, generator
from vla_uq.errors import InputError

Scores = Callable[[Sequence[Candidate]], NDArray[np.floating[Any]]]


class Save:
    """Choose by an uncertainty.

    :param scores: u_e of candidates, (n,), by the current policy; called once a round.
    :param budget: demonstrations a round.
    :param temperature: τ; 0 draws tasks uniformly. The paper takes 2.5 with VFD, 1.5 with Action-L2, 1 with GU.
    :param shifted: lift the scores so that the smallest is slightly positive: for scores that can be negative (GU).
    :param allow_repeat: false where an initial state cannot be shown twice, as on a real robot.
    :param name: of the uncertainty, for the log and for the stream of random numbers.
    """

    def __init__(
        self,
        scores: Scores,
        *,
        budget: int = 5,
        temperature: float = 2.5,
        shifted: bool = False,
        allow_repeat: bool = True,
        seed: int = 0,
        name: str = "save",
    ) -> None:
        if not 0 <= temperature < math.inf:
            raise InputError("must be finite and not negative", where="temperature", found=temperature)
        self.name = name
        self.scores, self.budget, self.temperature = scores, check_budget(budget), temperature
        self.shifted, self.allow_repeat, self.seed = shifted, allow_repeat, seed

    def choose(self, index: int, candidates: Sequence[Candidate], acquired: Sequence[Candidate]) -> Round:
        """See :meth:`Strategy.choose`.

        :raises InputError: when a score is missing or not finite, or every candidate has been shown.
        """
        groups = by_task(candidates)
        ordered = [c for group in groups.values() for c in group]
        values, lift = self._uncertainty(ordered)
        u = dict(zip(ordered, values, strict=True))
        task_score = {task: float(np.mean([u[c] for c in group])) for task, group in groups.items()}
        shown = set() if self.allow_repeat else set(acquired)
        eligible = {task: [c for c in group if c not in shown] for task, group in groups.items()}
        draws, log = self._draw_tasks(index, task_score, {task: len(group) for task, group in eligible.items()})
        chosen: list[Candidate] = []
        for task, count in Counter(draws).items():
            chosen += sorted(eligible[task], key=lambda c: (-u[c], c))[:count]
        return Round(
            index,
            tuple(chosen),
            {
                "uncertainty": self.name,
                "temperature": self.temperature,
                "lift": lift,
                "episodes": {c.episode_id: u[c] for c in ordered},
                "tasks": task_score,
                "draws": log,
            },
        )

    def _uncertainty(self, candidates: Sequence[Candidate]) -> tuple[list[float], float]:
        """The u of each candidate, and what was added to its score for it."""
        values = np.asarray(self.scores(candidates), np.float64)
        if values.shape != (len(candidates),) or not np.isfinite(values).all():
            bad = int((~np.isfinite(values)).sum()) if values.shape == (len(candidates),) else values.shape
            raise InputError(
                "one finite score a candidate is needed", where=self.name, expected=len(candidates), found=bad
            )
        if not self.shifted:
            return values.tolist(), 0.0
        lift = 0.01 * np.ptp(values) - values.min()
        return (values - values.min() + 0.01 * np.ptp(values)).tolist(), float(lift)

    def _draw_tasks(
        self, index: int, scores: dict[str, float], capacity: dict[str, int]
    ) -> tuple[list[str], list[dict[str, Any]]]:
        """Draw tasks one after the other, each at most as often as it has episodes."""
        rng = generator(self.seed, self.name, index)
        drawn: list[str] = []
        log: list[dict[str, Any]] = []
        for _ in range(min(self.budget, sum(capacity.values()))):
            left = [task for task in scores if drawn.count(task) < capacity[task]]
            # Relative to the largest: P does not change, and no power overflows or vanishes.
            largest = max(max(scores[task] for task in left), 0.0) or 1.0
            weights = [(max(scores[task], 0.0) / largest) ** self.temperature for task in left]
            if not sum(weights):
                weights = [1.0] * len(left)
            total = sum(weights)
            drawn.append(rng.choices(left, weights)[0])
            log.append({"task": drawn[-1], "P": {t: w / total for t, w in zip(left, weights, strict=True)}})
        if not drawn:
            raise InputError("every candidate has been shown", where="candidates", remedy="offer new initial states")
        return drawn, log
