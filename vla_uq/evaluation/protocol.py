"""From the score curve of an episode to the one number that is ranked.

Successes end early and failures run to the time limit, so the maximum over a whole episode tells outcomes apart even
when the score is noise: it has more steps to reach a maximum in, and a sum more to add. The comparison is fair when
every episode is read over the same number of steps.

- ``matched`` (default): the first steps, up to the length of the shortest *training* episode of the same task; for a
  task without training episodes, of the shortest training episode of any task. A test episode that is shorter still is
  read to its end; what little that gives away shows in the control that counts steps.
- ``published``: the same with the shortest episode of the task in all parts, test included, as SAFE does it
  (``task_min_step``). It needs the test episodes' lengths, so nothing that runs can use it.
- ``leaky``: the whole episode, as the published curves of accuracy over detection time ("by final end").
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from vla_uq.errors import InputError

Protocol = Literal["matched", "published", "leaky"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


@dataclass(frozen=True)
class CutOffs:
    """How many steps of an episode are read.

    :param by_task: task to steps.
    :param otherwise: for the other tasks; None reads whole episodes.
    """

    by_task: Mapping[str, int]
    otherwise: int | None

    @classmethod
    def shortest(cls, episodes: Iterable[tuple[str, int]]) -> CutOffs:
        """From (task, length) of episodes: the shortest of each task, and of all for tasks not among them.

        :raises InputError: when there are none.
        """
        by_task: dict[str, int] = {}
        for task, length in episodes:
            by_task[task] = min(length, by_task.get(task, length))
        if not by_task:
            raise InputError("no episodes to take the cut-off from", where="training part")
        return cls(by_task, min(by_task.values()))

    def of(self, task: str) -> int | None:
        """Steps to read of an episode of this task; None for all."""
        return self.by_task.get(task, self.otherwise)


WHOLE = CutOffs({}, None)


def peak(curve: ArrayLike, cut: int | None) -> float:
    """Highest score of the first ``cut`` steps; infinite when one of them has no finite score, which is an alarm."""
    values = np.asarray(curve, np.float64)[:cut]
    return float(values.max()) if np.isfinite(values).all() else math.inf
