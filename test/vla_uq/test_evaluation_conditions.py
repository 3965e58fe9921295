"""Two thresholds from nominal successes, and the rates that they have under each condition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_uq.calibration.functional import FunctionalBand
from vla_uq.errors import InputError
from vla_uq.evaluation.conditions import ALL, by_condition
from vla_uq.evaluation.results import RunResult
from vla_uq.evaluation.splits import PARTS, Split
from vla_uq.evaluation.table import Comparison
from vla_uq.evaluation.thresholds import constant, first_alarms
from vla_uq.rollouts.store import RolloutMeta

Curve = np.ndarray


def curves(seed: int, count: int, steps: int = 6) -> list[Curve]:
    return list(np.random.default_rng(seed).normal(size=(count, steps)))


def test_the_constant_is_an_order_statistic_of_the_peaks() -> None:
    made = curves(0, 19)
    passes = constant(made, 0.1)
    assert sum(not passes(curve).all() for curve in made) == 1  # rank 18 of 19
    with pytest.raises(InputError, match="too few calibration episodes"):
        constant(made[:8], 0.1)


@given(st.integers(0, 1000), st.sampled_from([0.1, 0.2, 0.5]))
def test_first_alarms_are_those_of_the_thresholds(seed: int, alpha: float) -> None:
    nominal, new = curves(seed, 20), [*curves(seed + 1, 5), np.array([0.0, math.nan, 9.0])]
    found = {each.threshold: each for each in first_alarms(nominal, alpha, 3, {"unseen": new})}
    assert list(found) == ["constant", "functional"] and {each.n for each in found.values()} == {20}
    level = sorted(curve.max() for curve in nominal)[math.ceil(21 * (1 - alpha) - 1e-9) - 1]
    band = FunctionalBand.fit(nominal, alpha, 3)
    for i, curve in enumerate(new):
        for name, above in (("constant", ~(curve <= level)), ("functional", ~band.passes(curve))):
            expected = int(np.flatnonzero(above)[0]) if above.any() else -1
            assert found[name].first["unseen"][i] == expected


def test_too_few_successes_for_one_threshold_do_not_take_the_other() -> None:
    by_constant, by_band = first_alarms(curves(0, 9), 0.1, 0, {"unseen": curves(1, 2)})
    assert not by_constant.refused and "too few" in by_band.refused and not by_band.first


META = {
    "a": ("none", True),
    "b": ("none", True),
    "c": ("recolour", True),
    "d": ("recolour", True),
    "e": ("recolour", False),
    "f": ("push", False),
}
FIRST = {"a": -1, "b": 4, "c": 0, "d": 2, "e": 2, "f": -1}
PEAKS = {"a": 0.0, "b": 1.0, "c": 5.0, "d": 3.0, "e": 4.0, "f": 2.0}


def comparison(refused: str = "") -> Comparison:
    """One split whose unseen part is the table above, with two of six steps read."""
    names = tuple(META)
    split = Split("seed 0", 0, "stratified", (), {**dict.fromkeys(PARTS, ()), "unseen": names})
    metas = {n: RolloutMeta(n, "task", 0, META[n][0], META[n][1], 36, "p") for n in names}
    alarms = [
        {
            "threshold": "constant",
            "alpha": 0.1,
            "n": 9,
            "first": {"unseen": [FIRST[n] for n in names], "test_seen": []},
        },
        {"threshold": "functional", "alpha": 0.1, "refused": refused},
    ]
    if not refused:
        alarms[1] = {**alarms[0], "threshold": "functional"}
    document = RunResult("vfd", "vfd", False, "seed 0").document() | {
        "peaks": {part: {"matched": v} for part, v in (("unseen", [PEAKS[n] for n in names]), ("test_seen", []))},
        "read": {"unseen": [2] * 6, "test_seen": []},
        "alarms": [{"n": 0, "first": {}, "refused": "", **each} for each in alarms],
    }
    return Comparison([RunResult.from_document(document)], [split], metas)


def test_rates_of_each_condition() -> None:
    rows = {row["condition"]: row for row in by_condition(comparison(), "vfd", 0.1) if row["tasks"] == "unseen"}
    assert list(rows) == [ALL, "none", "push", "recolour"]
    recolour = rows["recolour"]
    assert (recolour["successes"], recolour["failures"], recolour["roc_auc"]) == (2, 1, 0.5)
    assert (recolour["constant_far"], recolour["constant_far_matched"]) == (1.0, 0.5)
    assert (recolour["constant_tpr"], recolour["constant_tpr_matched"]) == (1.0, 0.0)
    assert rows["none"]["constant_far"] == 0.5 and math.isnan(rows["none"]["constant_tpr"])
    assert rows["push"]["constant_tpr"] == 0.0 and math.isnan(rows["push"]["roc_auc"])
    everything = rows[ALL]
    assert (everything["successes"], everything["failures"]) == (4, 2)
    assert everything["constant_far"] == 0.75 and everything["functional_tpr"] == 0.5


def test_a_threshold_that_is_missing_says_why() -> None:
    row = next(row for row in by_condition(comparison("too few"), "vfd", 0.1) if row["tasks"] == "unseen")
    assert row["functional_refused"] == "too few" and math.isnan(row["functional_far"])
    assert row["constant_refused"] == "" and row["constant_far"] == 0.75
    with pytest.raises(InputError, match="alpha: no threshold was calibrated"):
        by_condition(comparison(), "vfd", 0.2)
