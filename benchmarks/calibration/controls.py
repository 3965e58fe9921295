"""Scores that know nothing of an observation: what a score has to beat before it may be called calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.calibration.study import Measured, Plan

NOT_PRETRAINED, OTHER_PAIRS = "control_not_pretrained", "control_other_pairs"


def with_controls(measured: Sequence[Measured], plan: Plan) -> tuple[list[Measured], tuple[str, ...]]:
    """The measurements over tasks with two scores more, and the names of those.

    One is 1 on tasks that were left out of the pretraining; the other is how often the *other* pairs failed on a task
    after the same round: what there is to know of difficulty and practice alone, with the noise of its episodes.
    """
    by_tasks = [m for m in measured if not m.said]
    found = []
    for m in by_tasks:
        others = [o.success for o in by_tasks if o.index == m.index and o.pair != m.pair]
        control = {NOT_PRETRAINED: {task: float(task not in plan.known) for task in m.success}}
        if others:
            control[OTHER_PAIRS] = {task: 1 - float(np.mean([o[task] for o in others])) for task in m.success}
        found.append(replace(m, scores={**m.scores, **control}))
    names = tuple(name for name in found[0].scores if name not in by_tasks[0].scores)
    return found + [m for m in measured if m.said], names
