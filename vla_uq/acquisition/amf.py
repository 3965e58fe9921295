"""AMF, as arXiv 2606.18043 compares with it: demonstrations that make the last layer's gradients best known.

A demonstration is seen through the loss gradients of the policy's last layer at some of its frames. As in a Gaussian
process with the Gram matrix of those gradients, demonstrations in a conditioning set C leave every frame R a posterior
variance; the task is chosen whose demonstrations, of those already acquired, lower the variance most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.acquisition.candidates import Candidate, Round, by_task, check_budget, generator
from vla_uq.errors import InputError

Floats = NDArray[np.float64]
Gradients = Callable[[Candidate], NDArray[np.floating[Any]]]


class Amf:
    """Choose tasks by posterior variance and, in them, episodes at random.

    :param gradients: of an acquired demonstration, (frames, D): vec of the loss gradient of the last layer at evenly
        spaced frames, by the current policy.
    :param budget: demonstrations a round.
    :param noise: σ of the process, in units of the Gram matrix's mean diagonal.
    """

    name = "amf"

    def __init__(self, gradients: Gradients, budget: int = 5, noise: float = 1e-2, seed: int = 0) -> None:
        self.gradients, self.budget, self.noise, self.seed = gradients, check_budget(budget), noise, seed

    def choose(self, index: int, candidates: Sequence[Candidate], acquired: Sequence[Candidate]) -> Round:
        """See :meth:`Strategy.choose`. The first rounds take one episode of each task, in random order."""
        groups = by_task(candidates)
        rng = generator(self.seed, self.name, index)
        left = {task: [c for c in group if c not in set(acquired)] for task, group in groups.items()}
        have = {task for task in groups if any(c.task == task for c in acquired)}
        order = sorted(set(groups) - have)
        rng.shuffle(order)
        tasks = [task for task in order if left[task]][: self.budget]
        if len(tasks) < self.budget and acquired:
            tasks += self._by_variance(acquired, self.budget - len(tasks), {t: len(left[t]) for t in groups})
        chosen: list[Candidate] = []
        for task in tasks:
            pool = [c for c in left[task] if c not in chosen]
            if pool:
                chosen.append(rng.choice(pool))
        if not chosen:
            raise InputError("every candidate has been shown", where="candidates", remedy="offer new initial states")
        return Round(index, tuple(chosen), {"tasks": tasks})

    def _by_variance(self, acquired: Sequence[Candidate], count: int, capacity: dict[str, int]) -> list[str]:
        demos = sorted(set(acquired))
        parts = [np.asarray(self.gradients(d), np.float64) for d in demos]
        features = np.concatenate(parts)
        gram = features @ features.T
        gram /= max(float(np.trace(gram)) / len(gram), 1e-300)
        edges = np.cumsum([0, *map(len, parts)])
        frames = {d: np.arange(edges[i], edges[i + 1]) for i, d in enumerate(demos)}
        groups = by_task(demos)
        conditioned: list[Candidate] = []
        tasks: list[str] = []
        for _ in range(count):
            value, proxy = {}, {}
            for task, own in groups.items():
                if tasks.count(task) >= capacity.get(task, 0):
                    continue
                outcome = {d: self._mean_trace(gram, frames, groups, [*conditioned, d]) for d in own}
                value[task], proxy[task] = float(np.mean(list(outcome.values()))), min(own, key=lambda d: outcome[d])
            if not value:
                break
            tasks.append(min(value, key=lambda task: (value[task], task)))
            conditioned.append(proxy[tasks[-1]])
        return tasks

    def _mean_trace(
        self,
        gram: Floats,
        frames: dict[Candidate, NDArray[np.intp]],
        groups: dict[str, list[Candidate]],
        conditioned: Sequence[Candidate],
    ) -> float:
        """Posterior variance, mean over frames and demonstrations of each task, then over tasks."""
        c = np.concatenate([frames[d] for d in conditioned])
        inner = gram[np.ix_(c, c)] + self.noise * np.eye(len(c))
        cross = gram[:, c]
        variance = np.diag(gram) - np.einsum("rc,cr->r", cross, np.linalg.solve(inner, cross.T))
        return float(np.mean([np.mean([variance[frames[d]].mean() for d in own]) for own in groups.values()]))
