"""A threshold for each task (Mondrian conformal; Vovk 2005), for the tasks that have enough episodes.

Bands are fitted to all tasks together, thresholds to one task's own episodes: with them alpha holds for each task by
itself, where one pooled threshold gives hard tasks more false alarms and easy ones fewer. A task with too few episodes,
or one that was never seen, gets the pooled threshold, and with it the reason why alpha is not promised there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.artefact import field
from vla_uq.calibration.bounds import needed_for_alpha, smallest_alpha
from vla_uq.calibration.functional import FLOOR, FRACTION
from vla_uq.calibration.methods import FUNCTIONAL, prepare
from vla_uq.calibration.nonconformity import Nonconformity
from vla_uq.calibration.variant import Scores
from vla_uq.errors import InputError


@dataclass(frozen=True, eq=False)
class PerTask:
    """What each task's own episodes say.

    :param own: task to its nonconformity.
    :param few: task to the number of its episodes that could calibrate, where they are too few.
    """

    own: Mapping[str, Nonconformity]
    few: Mapping[str, int]

    def decide(self, task: str, pooled: Nonconformity) -> tuple[Nonconformity, str]:
        """What a task is judged by, and why alpha does not hold for it, or nothing.

        :param task: the instruction; empty where nobody has told.
        :param pooled: for tasks without a threshold of their own.
        """
        if task in self.own:
            return self.own[task], ""
        if not task:
            return pooled, "the task is not known, and thresholds are per task"
        if task in self.few:
            need = needed_for_alpha(pooled.alpha)
            return pooled, f"task {task!r} has {self.few[task]} of {need} calibration episodes: threshold of all tasks"
        return pooled, f"task {task!r} is not in the calibration: threshold of all tasks"

    def state(self) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
        """Named tensors and JSON values, for the bundle."""
        states = {task: own.state() for task, own in self.own.items()}
        tensors = {f"{i}/{name}": value for i, (own, _) in enumerate(states.values()) for name, value in own.items()}
        own = [{"task": task, **config} for task, (_, config) in states.items()]
        return tensors, {"own": own, "few": dict(self.few)}

    @classmethod
    def from_state(
        cls, tensors: Mapping[str, NDArray[Any]], config: Mapping[str, Any], where: str = "per_task"
    ) -> PerTask:
        """The inverse of :meth:`state`.

        :raises InputError: naming the field that is missing or wrong.
        """
        own = {}
        for i, part in enumerate(field(config, "own", list, where)):
            place = f"{where}: own {i}"
            if not isinstance(part, dict):
                raise InputError("has the wrong type", where=place, expected="dict", found=type(part).__name__)
            below = {name.removeprefix(f"{i}/"): v for name, v in tensors.items() if name.startswith(f"{i}/")}
            own[field(part, "task", str, place)] = Nonconformity.from_state(below, part, place)
        few = field(config, "few", dict, where)
        return cls(own, {task: field(few, task, int, f"{where}: few") for task in few})


def fit_per_task(
    episodes: Sequence[Scores],
    tasks: Sequence[str],
    alpha: float,
    seed: int,
    *,
    method: str = FUNCTIONAL,
    fraction: float = FRACTION,
    floor: float = FLOOR,
) -> tuple[Nonconformity, PerTask]:
    """Fit bands to all episodes' scores, and thresholds to all and to each task's.

    A split takes its share from every task, and none from one with fewer than 3 episodes.

    :param episodes: nominal successes: for each episode, detector name to its scores (T,).
    :param tasks: of each episode.
    :returns: the pooled nonconformity, and the tasks'.
    :raises InputError: as :meth:`Nonconformity.fit`, and when no task has enough episodes.
    """
    calibrations = prepare(method, episodes, alpha, seed, fraction=fraction, floor=floor, groups=tasks)
    members = calibrations[0].members
    own, few = {}, {}
    for task in sorted(set(tasks)):
        theirs = [i for i in members if tasks[i] == task]
        if len(theirs) < needed_for_alpha(alpha):
            few[task] = len(theirs)
        else:
            own[task] = Nonconformity.calibrate(calibrations, theirs, alpha, method)
    if not own:
        raise InputError(
            "no task has enough calibration episodes",
            where="alpha",
            expected=f"{needed_for_alpha(alpha)} of a task for alpha {alpha:g}",
            found=f"at most n = {max(few.values())}, which allows alpha >= {smallest_alpha(max(few.values())):.4g}",
            remedy="record more successes of each task, raise alpha, or pool the tasks",
        )
    return Nonconformity.calibrate(calibrations, members, alpha, method), PerTask(own, few)
