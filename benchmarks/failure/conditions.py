"""The table of the disturbances: what each detector catches and halts for nothing under each condition."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.report import Table
from vla_uq.evaluation.conditions import ALL
from vla_uq.evaluation.thresholds import THRESHOLDS
from vla_uq.rollouts.store import NOMINAL

NAMES: Mapping[str, str] = {
    ALL: "all",
    NOMINAL: "nominal",
    "push": "pushed",
    "outside": "outside",
    "lights": "lights dimmed",
    "recolour": "recoloured",
    "unseen": "other instruction",
}
"""Headings, in this order; conditions of other beds come after them under their own names."""


def tables(rows: Sequence[Mapping[str, Any]], alpha: float) -> list[Table]:
    """A table for the seen tasks and one for the unseen ones.

    :param rows: of :func:`vla_uq.evaluation.conditions.by_condition`, with the ``policy``, of all detectors.
    """
    found = {str(row["condition"]) for row in rows}
    order = [*(name for name in NAMES if name in found), *sorted(found - set(NAMES))]
    columns = ("detector", "policy", *(NAMES.get(name, name) for name in order))
    cells = "AUC · caught/false alarms, constant · the same, functional"
    return [
        Table(f"Per disturbance, {tasks} tasks, alpha {alpha:g}: {cells} (%)", columns, _pivot(rows, tasks))
        for tasks in dict.fromkeys(str(row["tasks"]) for row in rows)
    ]


def notes(rows: Sequence[Mapping[str, Any]], alpha: float) -> list[str]:
    """How the tables are to be read, how many episodes are in them, and which thresholds are missing."""
    counts: dict[str, dict[str, str]] = {}
    missing: dict[str, None] = {}
    for row in rows:
        name = NAMES.get(row["condition"], row["condition"])
        group = counts.setdefault(f"{row['policy']} policy, {row['tasks']} tasks", {})
        group[name] = f"{name} {row['successes']}+{row['failures']}"
        missing |= {f"{t} threshold: {row[f'{t}_refused']}": None for t in THRESHOLDS if row[f"{t}_refused"]}
    return [
        f"Per disturbance: thresholds at alpha {alpha:g} from nominal successes of seen tasks. AUC length-matched. "
        "Caught: failures with an alarm in those steps. False alarms: successes with one in the whole episode.",
        *(f"Successes + failures, {group}: {', '.join(each.values())}." for group, each in counts.items()),
        *(f"Missing on a split: {why}" for why in missing),
    ]


def headline(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What VFD's constant threshold does to successes of seen tasks, nominal and recoloured."""
    shares = {
        f"vfd_false_alarms_{NAMES[row['condition']]}": row["constant_far"]
        for row in rows
        if row["row"] == "vfd" and row["tasks"] == "seen" and row["condition"] in (NOMINAL, "recolour")
    }
    return {name: share for name, share in shares.items() if math.isfinite(share)}


def _pivot(rows: Sequence[Mapping[str, Any]], tasks: str) -> list[dict[str, Any]]:
    """A row for each detector, a cell for each condition; the numbers are under ``conditions``."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if row["tasks"] != tasks:
            continue
        name, policy, condition = str(row["row"]), str(row["policy"]), str(row["condition"])
        line = found.setdefault((policy, name), {"detector": name, "policy": policy, "conditions": {}})
        line[NAMES.get(condition, condition)] = _cell(row)
        line["conditions"][condition] = {k: v for k, v in row.items() if k not in ("row", "policy", "condition")}
    return list(found.values())


def _cell(row: Mapping[str, Any]) -> str:
    auc = row["roc_auc"]
    shares = (f"{_percent(row[f'{t}_tpr_matched'])}/{_percent(row[f'{t}_far'])}" for t in THRESHOLDS)
    return " · ".join(["–" if math.isnan(auc) else f"{auc:.2f}", *shares])


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.0f}"
