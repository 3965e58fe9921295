"""The comparison as text and as CSV."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vla_cli.console import cell

COLUMNS = (
    *("detector", "seen", "unseen", "to_best", "seen_within_task", "unseen_within_task", "unseen_PR"),
    *("unseen_bal._acc.", "unseen_T-det_s", "unseen_leaky"),
)


def shown(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The columns for people, intervals in brackets; the best unseen detector first, controls last."""
    order = sorted(rows, key=lambda row: (row["control"], -_known(row["unseen_roc_auc"])))
    return [
        {
            "detector": f"{row['row']} (control)" if row["control"] else row["row"],
            "seen": _interval(row, "seen_roc_auc"),
            "unseen": _interval(row, "unseen_roc_auc"),
            "to_best": _interval(row, "to_best"),
            "seen_within_task": _interval(row, "seen_roc_auc_within"),
            "unseen_within_task": _interval(row, "unseen_roc_auc_within"),
            "unseen_PR": rounded(row["unseen_pr_auc"]),
            "unseen_bal._acc.": rounded(row["unseen_balanced_accuracy"]),
            "unseen_T-det_s": cell(row["unseen_leaky_detection_seconds"]),
            "unseen_leaky": rounded(row["unseen_leaky"]),
        }
        for row in order
    ]


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Every number of every row, one line a row; what is not one number (lists, mappings) is left to the JSON."""
    names = [name for name in rows[0] if not isinstance(rows[0][name], (list, dict))] if rows else []
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def rounded(value: float) -> str:
    """Three digits after the point, a dash for nothing."""
    return f"{value:.3f}" if math.isfinite(value) else "–"


def _interval(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name, math.nan)
    if not math.isfinite(value):
        return "–"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{value:.3f} ({low:.3f} to {high:.3f})" if name == "to_best" else f"{value:.3f} ({low:.3f}–{high:.3f})"


def _known(value: float) -> float:
    return value if math.isfinite(value) else -math.inf
