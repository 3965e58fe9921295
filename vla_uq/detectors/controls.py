"""Two controls for the evaluation of detectors: what a score can gain without looking at the policy at all.

A detector is worth something where it is better than both. Neither has a place on a robot, so neither has a state
that a bundle could keep.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from vla_uq.detectors.aggregate import aggregate
from vla_uq.detectors.base import Progress, StreamingDetector, Tensors
from vla_uq.errors import InputError
from vla_uq.evaluation.episodes import inferences
from vla_uq.evaluation.splits import task_key
from vla_uq.rollouts.store import Rollout


class Control(StreamingDetector):
    """What the two share: no tensors and no state."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    needs: tuple[str, ...] = ()

    def state(self) -> NoReturn:
        """Refused.

        :raises InputError: always.
        """
        raise self._refusal(self.name)

    @classmethod
    def from_state(cls, tensors: Tensors, config: Mapping[str, Any], where: str = "") -> NoReturn:
        """Refused.

        :raises InputError: always.
        """
        raise cls._refusal(where or cls.name)

    @classmethod
    def _refusal(cls, where: str) -> InputError:
        return InputError(
            "is a control for evaluation and cannot go into a bundle",
            where=where,
            expected="a detector that looks at the policy",
            found=cls.name,
            remedy="leave it out",
        )


class Counter(Control):
    """s_t = t, the number of inferences before this one: what the length of an episode gives away."""

    name: ClassVar[str] = "counter"

    def __init__(self, aggregator: str = "none") -> None:
        super().__init__(aggregator)
        self._count = 0

    def fit(self, rollouts: Iterable[Rollout], progress: Progress | None = None) -> None:
        """There is nothing to learn."""

    def reset(self) -> None:
        """Begin an episode."""
        super().reset()
        self._count = 0

    def step(self, tensors: Tensors) -> float:
        """How many inferences there were before."""
        self._count += 1
        return float(self._count - 1)

    def score(self, rollout: Rollout) -> NDArray[np.float64]:
        """See :meth:`Detector.score`."""
        return aggregate(self.aggregator, np.arange(inferences(rollout), dtype=np.float64))


class Difficulty(Control):
    """The failure rate of the episode's task in the fitting episodes: what knowing the task gives away.

    A task that was not seen has the rate over all episodes.
    """

    name: ClassVar[str] = "difficulty"

    def __init__(self, aggregator: str = "none") -> None:
        super().__init__(aggregator)
        self._rates: dict[str, float] = {}
        self._overall = math.nan
        self._task = ""

    def fit(self, rollouts: Iterable[Rollout], progress: Progress | None = None) -> None:
        """Count failures.

        :raises InputError: when an episode has no outcome, or there is none.
        """
        outcomes = defaultdict[str, list[bool]](list)
        for rollout in rollouts:
            if rollout.meta.success is None:
                raise InputError("episode has no outcome", where=rollout.meta.episode_id, expected="success or failure")
            outcomes[task_key(rollout.meta)].append(not rollout.meta.success)
        if not outcomes:
            raise InputError("no rollouts to fit to", where=self.name)
        self._rates = {task: float(np.mean(failed)) for task, failed in outcomes.items()}
        self._overall = float(np.mean([failed for each in outcomes.values() for failed in each]))

    def reset(self, task: str = "") -> None:
        """Begin an episode.

        :param task: its :func:`~vla_uq.evaluation.splits.task_key`, which no tensor tells; not known if not given.
        """
        super().reset()
        self._task = task

    def step(self, tensors: Tensors) -> float:
        """The rate of the running episode's task."""
        return self._rate(self._task)

    def score(self, rollout: Rollout) -> NDArray[np.float64]:
        """See :meth:`Detector.score`; the task is the rollout's."""
        return aggregate(self.aggregator, np.full(inferences(rollout), self._rate(task_key(rollout.meta))))

    def _rate(self, task: str) -> float:
        if not self._rates:
            raise InputError("is not fitted", where=self.name)
        return self._rates.get(task, self._overall)
