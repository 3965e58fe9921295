"""Choosing a detector's hyper-parameters on a part of their own."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.detectors import DETECTORS, Detector, Progress, detector_from_state
from vla_uq.detectors.aggregate import aggregate
from vla_uq.errors import InputError
from vla_uq.evaluation.metrics import roc_auc
from vla_uq.evaluation.protocol import CutOffs, peak
from vla_uq.evaluation.splits import task_key
from vla_uq.rollouts.store import Rollout

Curve = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One line of the table: a detector and what its hyper-parameters may be.

    :param name: unique in a table.
    :param detector: its name in :data:`vla_uq.detectors.DETECTORS`.
    :param candidates: keyword arguments of the detector, one set a candidate.
    :param aggregators: rules to choose from; empty where the detector has its own or none.
    :param fitted_with: the rule while it is fitted, which says when to stop a detector that stops early.
    :param fitted_on: parts of the split; more than ``train`` only for a control that is to know the answers.
    :param control: no detector, but what a table must be read beside.
    """

    name: str
    detector: str
    candidates: tuple[Mapping[str, Any], ...] = ({},)
    aggregators: tuple[str, ...] = ()
    fitted_with: str = "none"
    fitted_on: tuple[str, ...] = ("train",)
    control: bool = False

    def make(self, candidate: Mapping[str, Any]) -> Detector:
        """An unfitted detector."""
        if self.detector not in DETECTORS:
            raise InputError("unknown detector", where=self.name, expected=", ".join(DETECTORS), found=self.detector)
        rule = {"aggregator": self.fitted_with} if self.aggregators else {}
        return DETECTORS[self.detector](**candidate, **rule)


@dataclass(frozen=True, eq=False)
class Choice:
    """The detector that was chosen, fitted.

    :param candidate: its keyword arguments, as JSON.
    :param aggregator: its rule; empty where it has its own.
    :param auc: length-matched ROC-AUC on the selection part; NaN where that lacks an outcome.
    :param tried: combinations of candidate and aggregator.
    """

    detector: Detector
    candidate: Mapping[str, Any]
    aggregator: str
    auc: float
    tried: int


def choose(
    row: Row,
    train: Sequence[Rollout],
    select: Sequence[Rollout],
    cut_offs: CutOffs,
    *,
    before: Callable[[Detector], None] = lambda detector: None,
    progress: Progress | None = None,
) -> Choice:
    """Fit every candidate to the training episodes and keep the one that ranks the selection episodes best.

    Each candidate is fitted once, whatever the aggregators: these work on its scores of single steps. The first of
    equals is kept.

    :param before: called with each candidate before it is fitted.
    :raises InputError: as the detector's own ``fit``.
    """
    best: tuple[float, Detector, Mapping[str, Any], str] | None = None
    failed = [not rollout.meta.success for rollout in select]
    for number, candidate in enumerate(row.candidates, 1):
        detector = row.make(candidate)
        before(detector)
        fit(detector, train, select, _numbered(progress, number, len(row.candidates)))
        single = with_aggregator(detector, "none") if row.aggregators else detector
        steps = [single.score(rollout) for rollout in select]
        for rule in row.aggregators or ("",):
            auc = roc_auc(_peaks(steps, rule, select, cut_offs), failed)
            if best is None or auc > best[0]:
                best = auc, detector, candidate, rule
    if best is None:
        raise InputError("has no candidates", where=row.name)
    auc, detector, candidate, rule = best
    chosen = with_aggregator(detector, rule) if rule else detector
    return Choice(chosen, described(candidate), rule, auc, len(row.candidates) * max(1, len(row.aggregators)))


def fit(
    detector: Detector, train: Sequence[Rollout], select: Sequence[Rollout], progress: Progress | None = None
) -> None:
    """Fit a detector; one that stops early is told when by the selection part."""
    stops_early = "selection" in inspect.signature(detector.fit).parameters
    mixed = len({rollout.meta.success for rollout in select}) == 2
    more = {"selection": select} if stops_early and mixed else {}
    detector.fit(train, progress, **more)


def _numbered(progress: Progress | None, number: int, total: int) -> Progress | None:
    if progress is None or total == 1:
        return progress
    return lambda done, of, what: progress(done, of, f"candidate {number} of {total}, {what}")


def with_aggregator(detector: Detector, rule: str) -> Detector:
    """The same fitted detector with another aggregator."""
    tensors, config = detector.state()
    return detector_from_state(detector.name, tensors, {**config, "aggregator": rule}, where=detector.name)


def described(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments as JSON values."""
    plain = {
        name: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        for name, value in candidate.items()
    }
    return json.loads(json.dumps(plain))


def _peaks(steps: Sequence[Curve], rule: str, rollouts: Sequence[Rollout], cut_offs: CutOffs) -> list[float]:
    curves = [aggregate(rule, curve) for curve in steps] if rule else steps
    return [peak(c, cut_offs.of(task_key(r.meta))) for c, r in zip(curves, rollouts, strict=True)]
