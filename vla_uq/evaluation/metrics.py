"""Two rankings of plain lists, for whoever has scores and outcomes and no split."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from vla_uq.evaluation import ranking


def roc_auc(scores: ArrayLike, failed: ArrayLike) -> float:
    """Probability that a failure scores above a success, ties counted half; NaN when an outcome does not occur.

    :param scores: (n,) one score an episode.
    :param failed: (n,) bool.
    """
    return ranking.estimate(_scored(scores, failed), ranking.roc_auc)


def roc_auc_within(scores: ArrayLike, failed: ArrayLike, groups: Sequence[Hashable]) -> tuple[float, int]:
    """AUC over pairs of episodes of the same group (task and condition), which knowing the group alone cannot raise.

    :param groups: (n,) the group of each episode.
    :returns: the AUC, NaN when no group has both outcomes, and how many groups do.
    """
    numbers = {group: str(i) for i, group in enumerate(dict.fromkeys(groups))}
    part = _scored(scores, failed, [numbers[group] for group in groups])
    return ranking.estimate(part, ranking.roc_auc_within), len(part.mixed_tasks())


def _scored(scores: ArrayLike, failed: ArrayLike, tasks: Sequence[str] | None = None) -> ranking.Scored:
    values, outcomes = np.asarray(scores, np.float64), np.asarray(failed, bool)
    names = tuple(map(str, range(len(values))))
    return ranking.Scored(names, values, outcomes, np.array(tasks or [""] * len(values)))
