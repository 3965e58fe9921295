"""The rows of the comparison and what their hyper-parameters are chosen from: the grids of the SAFE paper as data.

The first candidate of a row is its default. What the paper searches besides (which tokens or flow steps the features
are taken from) is the feature tensor here: :func:`with_features`.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vla_uq.detectors import DETECTORS, SafeTraining
from vla_uq.detectors.safe_lstm import SafeLstmTraining
from vla_uq.errors import InputError
from vla_uq.evaluation.selection import Row
from vla_uq.evaluation.splits import PARTS

RULES = ("running_mean", "cumsum", "none", "sliding_mean:4", "ema:0.3")
"""What every score may be aggregated by. A sliding maximum has the same peak as ``none``."""
CONTROLS = ("counter", "difficulty")
ORACLE = "difficulty_oracle"
"""The control that knows how often each task fails in the very episodes of the test, unseen tasks included: what a
pooled area may owe to telling hard tasks from easy ones."""


def product(**values: Sequence[Any]) -> tuple[dict[str, Any], ...]:
    """All combinations, the first values first."""
    return tuple(dict(zip(values, each, strict=True)) for each in itertools.product(*values.values()))


RATES = product(learning_rate=(3e-4, 1e-4, 1e-3), regulariser=(1e-1, 1e-2, 1e-3))
CANDIDATES: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "safe_mlp": tuple({"training": SafeTraining(**each)} for each in RATES),
    # A fit of it takes ten times as long as the others', so it has a third of the MLP's grid.
    "safe_lstm": tuple({"training": SafeLstmTraining(regulariser=r)} for r in (1e-1, 1e-2, 1e-3)),
    "action_l2": product(shared_noise=(True, False)),
    "euclidean_knn": product(k=(5, 1, 10)),
    "cosine_knn": product(k=(5, 1, 10)),
    "pca_kmeans": product(components=(64, 32, 128), clusters=(64, 16, 32)),
    "cluster_entropy": product(distance=(1.0, 0.01, 0.05, 0.1, 0.2, 0.5, 2.0, 5.0)),
    "rnd_oe_and_ace": product(aggregator=("none", "sliding_mean:4")),
    "rnd_oe_or_ace": product(aggregator=("none", "sliding_mean:4")),
}
"""Of the detectors that have more than their defaults."""


def rows(names: Iterable[str] = ()) -> list[Row]:
    """A row for each detector, or for those named; controls come last.

    :raises InputError: on an unknown detector.
    """
    known = {row.name: row for row in (*map(_row, sorted(DETECTORS, key=lambda name: name in CONTROLS)), *_oracle())}
    wanted = list(names) or list(known)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise InputError("unknown detector", where=unknown[0], expected=", ".join(sorted(known)))
    return [row for name, row in known.items() if name in wanted]


def with_features(row: Row, features: Sequence[str]) -> Row:
    """The row with its candidates on each of several feature tensors, where it works on features."""
    if "feature" not in _parameters(row.detector):
        return row
    return replace(row, candidates=tuple({**c, "feature": f} for f in features for c in row.candidates))


def quick(row: Row) -> Row:
    """The row with its default alone and fewer aggregators to choose from."""
    return replace(row, candidates=row.candidates[:1], aggregators=row.aggregators[:3])


def _row(name: str) -> Row:
    candidates = CANDIDATES.get(name, ({},))
    control = name in CONTROLS
    open_rule = "aggregator" in _parameters(name) and not control and "aggregator" not in candidates[0]
    rules = RULES if open_rule else ()
    return Row(name, name, candidates, rules, control=control)


def _oracle() -> list[Row]:
    if "difficulty" not in DETECTORS:
        return []
    return [Row(ORACLE, "difficulty", fitted_on=PARTS, control=True)]


def _parameters(detector: str) -> Mapping[str, Any]:
    return inspect.signature(DETECTORS[detector].__init__).parameters
