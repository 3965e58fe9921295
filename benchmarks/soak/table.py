"""From outcomes and the auditor's report to rows and headline. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.soak.player import PACE, Outcome
from benchmarks.soak.schedule import VICTIMS

if TYPE_CHECKING:
    from supervisor_node.audit import Report

COLUMNS = ("process", "signal", "n", "p50_s", "p95_s", "max_s", "least_speed", "worst_pace", "never_rested", "rearmed")
INVALID = "I3"
"""The auditor's rule for commands: finite, of the right joints, inside the limits."""


def rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """One row for each process and signal; kills in slow stretches are not in it."""
    counted = [outcome for outcome in outcomes if not outcome.slow]
    found = []
    for victim in VICTIMS:
        for name in ("SIGKILL", "SIGSTOP"):
            mine = [one for one in counted if one.kill.victim == victim and one.kill.signal == name]
            if mine:
                found.append({"process": victim, "signal": name, **_row(mine)})
    return found


def _row(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "n": len(outcomes),
        **times(outcomes),
        "least_speed": min(one.speed for one in outcomes),
        "worst_pace": min(one.factor for one in outcomes),
        "never_rested": sum(one.rest is None for one in outcomes),
        "rearmed": sum(one.rearmed for one in outcomes),
    }


def times(outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    """Median, 95th percentile and largest time to rest (s), of those that rested."""
    rests = [one.rest for one in outcomes if one.rest is not None]
    if not rests:
        return dict.fromkeys(("p50_s", "p95_s", "max_s"))
    p50, p95, largest = np.percentile(rests, (50, 95, 100))
    return {"p50_s": float(p50), "p95_s": float(p95), "max_s": float(largest)}


def headline(outcomes: Sequence[Outcome], audits: Sequence[Report], factor: float) -> dict[str, float]:
    """The numbers that others quote; an arm that never rested makes the largest time infinite."""
    counted = [outcome for outcome in outcomes if not outcome.slow]
    found, never = times(counted), sum(one.rest is None for one in counted)
    return {
        "kills": len(counted),
        "max_kill_to_rest_s": float("inf") if never or found["max_s"] is None else found["max_s"],
        "p50_kill_to_rest_s": float("inf") if found["p50_s"] is None else found["p50_s"],
        "never_rested": never,
        "unscored_chunks_executed": sum(audit.unscored_chunks_executed for audit in audits),
        "invalid_commands": sum(audit.violated(INVALID) for audit in audits),
        "violations": sum(len(audit.violations) for audit in audits),
        # Of all kills: no pace excuses these.
        "rearmed": sum(one.rearmed for one in outcomes),
        "real_time_factor": factor,
        "repeated_slow": len(outcomes) - len(counted),
    }


def notes(outcomes: Sequence[Outcome], audits: Sequence[Report], unfit: int) -> list[str]:
    """What is to be read with the table."""
    slow = [outcome for outcome in outcomes if outcome.slow]
    slowest = max((one.rest for one in slow if one.rest is not None), default=None)
    found = [
        f"audited: {sum(audit.commands for audit in audits)} commands of "
        f"{sum(audit.chunks_executed for audit in audits)} executed chunks, {sum(audit.states for audit in audits)} "
        f"states; largest derivation error {max(audit.largest_derivation_error for audit in audits):.1e}",
        f"{unfit} episodes were over before the arm was fast enough for their kill",
    ]
    if slow:
        rested = "never rested" if slowest is None else f"the longest rested after {slowest:.3f} s"
        found.append(f"{len(slow)} kills were repeated, for the simulation kept less than {PACE} of the pace; {rested}")
    violations = [one for audit in audits for one in audit.violations]
    return found + [f"{one.rule} at {one.time:.3f} s: {one.text}" for one in violations[:20]]
