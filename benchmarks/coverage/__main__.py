"""``python -m benchmarks.coverage``: false-alarm rates of every calibration, over n, alpha and the shape of curves."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.coverage.curves import SHAPES
from benchmarks.coverage.trials import ALPHAS, OWN, REFERENCES, Tally, play
from benchmarks.report import Options, Result, command
from vla_cli.console import Console

SIZES = (10, 20, 40, 100)
OVER, LOOSE = 4.0, 3.0
"""Standard errors that a rate may be above alpha, or below what a sharp threshold has, before it counts: with 3 above
alpha, every other table of 300 honest cells would have one that counts, with 4 one table in a hundred."""
COLUMNS = ("method", "curves", "n", "calibrating", "alpha", "rate", "error", "least", "above_bound", "verdict")
NOTES = (
    "n: successes (of each of two tasks, where thresholds are per task; rates are of the harder one, x 3).",
    "calibrating: those behind the threshold; least: alpha - 1 / (calibrating + 1), what a sharp threshold exceeds.",
    "error: standard error of the rate: of the calibrations drawn and of the new episodes, see Tally.error.",
    "above_bound: share of the calibrations whose own rate is above the bound that 95 % of them should keep.",
    "Published and pooled rows are for comparison and in no headline figure.",
)


def run(options: Options, console: Console) -> Result:
    """Play every cell."""
    repetitions, fresh = (24, 250) if options.quick else (300, 1000)
    rows: list[Mapping[str, Any]] = []
    with console.progress("calibrations", repetitions * len(SIZES) * len(SHAPES)) as advance:
        for shape, draw in SHAPES.items():
            for n in SIZES:
                seed = options.seed + 1000 * n + list(SHAPES).index(shape)
                found = play(draw, n, repetitions, fresh, seed, advance)
                rows += [
                    row(method, shape, n, alpha, found[method, alpha])
                    for method in (*OWN, *REFERENCES)
                    for alpha in ALPHAS
                    if (method, alpha) in found
                ]
    rows.sort(key=lambda r: (*OWN, *REFERENCES).index(r["method"]))
    title = f"False-alarm rates on exchangeable curves ({repetitions} calibrations a cell, {fresh} new episodes each)"
    return Result(title, COLUMNS, rows, headline(rows), notes=NOTES)


def row(method: str, shape: str, n: int, alpha: float, tally: Tally) -> dict[str, Any]:
    """One cell of the table."""
    known = {"method": method, "curves": shape, "n": n, "alpha": alpha}
    if tally.refused:
        return {**known, "verdict": tally.refused}
    least = alpha - 1 / (tally.n + 1)
    above = tally.above / len(tally.rates) if method in OWN else None
    error = tally.error(alpha)
    cell = {**known, "calibrating": tally.n, "rate": tally.rate, "error": error, "least": least}
    return {**cell, "above_bound": above, "verdict": verdict(tally.rate, alpha, least, error)}


def verdict(rate: float, alpha: float, least: float, error: float) -> str:
    """Whether the rate is where a sharp and honest threshold has it, within its error."""
    if rate > alpha + OVER * error:
        return "over alpha"
    return "too loose" if rate < least - LOOSE * error else "ok"


def headline(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Of our own methods' cells that have a threshold."""
    cells = [r for r in rows if r["method"] in OWN and "rate" in r]
    published = [r for r in rows if r["method"] == REFERENCES[0]]
    return {
        "cells": len(cells),
        "cells_over_alpha": sum(r["verdict"] == "over alpha" for r in cells),
        "cells_too_loose": sum(r["verdict"] == "too loose" for r in cells),
        "max_rate_over_alpha": max(r["rate"] / r["alpha"] for r in cells),
        "cells_refused": sum(r["method"] in OWN and "rate" not in r for r in rows),
        "max_published_rate_over_alpha": max(r["rate"] / r["alpha"] for r in published),
    }


if __name__ == "__main__":
    sys.exit(command("coverage", run, seed=0))
