"""Features of made-up rollouts, some of which fail: something to learn, and noise that can be learnt by heart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_uq.detectors.safe import Array, Episodes
from vla_uq.evaluation.metrics import roc_auc

TASKS = 10
LATENTS = 20
NOISE = 0.3
MODES = 4
"""Directions in which a failure may go wrong."""
EARLIEST = 0.6
"""Share of the time-out after which a success may be done; a failure runs to the time-out."""
SELECTION, TEST = 200, 400
"""Episodes: enough that one more or less does not decide."""


@dataclass(frozen=True)
class Material:
    """Episodes of one world.

    :param shortest: of each task in training and selection, steps.
    """

    training: Episodes
    selection: Episodes
    test: Episodes
    shortest: Mapping[str, int]

    @classmethod
    def draw(cls, rollouts: int, steps: int, size: int, world: int) -> Material:
        """As many episodes to train on, and others."""
        counts = (rollouts, SELECTION, TEST)
        training, selection, test = (made_up(n, steps, size, part, world) for part, n in enumerate(counts))
        shortest: dict[str, int] = {}
        for task, length in zip(training.tasks + selection.tasks, (*training.lengths, *selection.lengths), strict=True):
            shortest[task] = min(int(length), shortest.get(task, steps))
        return cls(training, selection, test, shortest)

    def auc(self, score: Callable[[Array], np.ndarray[Any, Any]], episodes: Episodes) -> float:
        """Of the largest score before the task's shortest episode ends; ``score`` takes an episode, (T, D) to (T,)."""
        kept = zip(episodes.features, episodes.tasks, strict=True)
        return roc_auc([score(f[: self.shortest[task]]).max() for f, task in kept], episodes.failed)


def made_up(rollouts: int, steps: int, size: int, seed: int, world: int) -> Episodes:
    """Rollouts of at most ``steps`` inferences with ``size`` features.

    Features are a mixture of a few latents, which wander around the offsets of task and rollout, and noise. Half of the
    rollouts fail: from some step in their first half on, they leave in one of a few directions, some so little that
    nobody can tell. A third of the successes do the same for a while and recover.

    :param world: seed of tasks, directions and mixture, the same for what trains and what tests.
    """
    fixed, rng = np.random.default_rng(world), np.random.default_rng((world, seed))
    tasks = fixed.normal(size=(TASKS, LATENTS))
    modes = fixed.normal(size=(MODES, LATENTS))
    modes /= np.linalg.norm(modes, axis=1, keepdims=True)
    mixture = fixed.normal(size=(LATENTS, size)) / np.sqrt(LATENTS)
    features, failed, names = [], np.arange(rollouts) % 2 == 0, []
    for failure in failed.tolist():
        task = int(rng.integers(TASKS))
        length = steps if failure else int(rng.integers(int(EARLIEST * steps), steps + 1))
        time = np.arange(length)
        begin = rng.uniform(0, 0.25 * steps)
        trouble = np.clip((time - begin) / (0.1 * steps), 0, 1) * rng.gamma(3, 2)
        if not failure:
            trouble *= time < begin + 0.2 * steps * (rng.random() < 1 / 4)
        latents = tasks[task] + 0.5 * rng.normal(size=LATENTS) + rng.normal(size=(length, LATENTS))
        latents += trouble[:, None] * modes[rng.integers(MODES)]
        noise = NOISE * rng.normal(size=(length, size))
        features.append((latents @ mixture + noise).astype(np.float32))
        names.append(f"task {task}")
    return Episodes(features, failed, names)
