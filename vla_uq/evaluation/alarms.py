"""What alarms are worth: rates by outcome, and how early the failures are announced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vla_uq.rollouts.store import RolloutMeta


@dataclass(frozen=True)
class AlarmReport:
    """Rates and times of one part; NaN where an outcome does not occur or times are not known.

    :param tpr: share of failures with an alarm.
    :param tnr: share of successes without one.
    :param balanced_accuracy: their mean.
    :param detection_steps: mean over all failures of the control steps before the alarm; a missed failure counts its
        full length. (The mean over detected failures alone rewards missing the late ones.)
    :param detection_seconds: the same in seconds.
    :param detection_share: the same as a share of the episode's inferences, 1 for a missed one (SAFE's T-det).
    :param twa: time-weighted accuracy (FIPER): the mean of the detected failures' earliness, 1 - alarm / (L - 1) with
        the longest episode's L inferences and 0 for a missed one, and of the true negative rate.
    """

    tpr: float
    tnr: float
    balanced_accuracy: float
    detection_steps: float
    detection_seconds: float
    detection_share: float
    twa: float


def alarm_report(
    first: Sequence[int | None], lengths: Sequence[int], metas: Sequence[RolloutMeta], longest: int
) -> AlarmReport:
    """Summarise the first alarms of the episodes of a part.

    :param first: index of each episode's first inference with an alarm, None without one.
    :param lengths: inferences of each episode.
    :param longest: inferences of the longest episode of the data set, test parts and others.
    """
    alarmed = [alarm is not None for alarm in first]
    failures = [i for i, meta in enumerate(metas) if not meta.success]
    tpr = _mean([alarmed[i] for i in failures])
    tnr = _mean([not alarmed[i] for i, meta in enumerate(metas) if meta.success])
    steps, seconds, shares, early = [], [], [], []
    for i in failures:
        alarm, meta = first[i], metas[i]
        timed = meta.execute_steps > 0
        taken = meta.steps if alarm is None else alarm * meta.execute_steps if timed else np.nan
        steps.append(taken)
        seconds.append(taken * meta.step_duration if meta.step_duration > 0 else np.nan)
        shares.append(1.0 if alarm is None else alarm / lengths[i])
        early.append(0.0 if alarm is None else 1 - alarm / max(longest - 1, 1))
    return AlarmReport(tpr, tnr, (tpr + tnr) / 2, _mean(steps), _mean(seconds), _mean(shares), (_mean(early) + tnr) / 2)


def first_alarm(passes: ArrayLike, cut: int | None = None) -> int | None:
    """Index of the first of the first ``cut`` steps that does not pass, None when all do."""
    failing = np.flatnonzero(~np.asarray(passes, bool)[:cut])
    return int(failing[0]) if len(failing) else None


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
