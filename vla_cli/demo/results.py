"""What the demo found: one record an episode, and the summary that is written from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vla_cli.console import Report, finite

COLUMNS = (
    "scenario", "seed", "shadow", "guarded", "alarm_step", "alarm_to_rest_ms", "takeover", "resumed",
)  # fmt: skip


@dataclass
class Outcome:
    """One episode.

    :param shadow_success: of the same scene and seed in shadow mode; None where none was played.
    :param success: with the guard, operator's help included; None where a process was killed.
    :param alarm_step: inference of the first alarm of the guarded run.
    :param alarm_to_rest_ms: from the alarm (or the kill) to the arm measured at rest.
    :param halted: the arm was stopped and measured at rest.
    :param takeover: an operator took control.
    :param resumed: the policy went on after a takeover; None where there was none.
    :param unscored_chunks_executed: the auditor's count.
    :param episode_ids: of all runs, in shadow first: the keys into the bag.
    """

    scenario: str
    task: str
    seed: int
    disturbance: str
    shadow_success: bool | None = None
    success: bool | None = None
    alarm_step: int | None = None
    alarm_to_rest_ms: float | None = None
    halted: bool = False
    takeover: bool = False
    resumed: bool | None = None
    unscored_chunks_executed: int | None = None
    reason: str = ""
    episode_ids: Sequence[str] = ()


def summary(
    outcomes: Sequence[Outcome], audit: Mapping[str, Any], versions: Mapping[str, str], seed: int
) -> dict[str, Any]:
    """What ``summary.json`` holds; JSON has no NaN, a number that is not finite becomes null."""
    content = {
        "episodes": [asdict(outcome) for outcome in outcomes],
        "audit": dict(audit),
        "versions": dict(versions),
        "seed": seed,
    }
    clean: dict[str, Any] = finite(content)
    return clean


def report(outcomes: Sequence[Outcome], data: Mapping[str, Any], notes: Sequence[str]) -> Report:
    """The table that the demo ends with."""
    rows = [
        {
            **asdict(outcome),
            "shadow": _word(outcome.shadow_success),
            "guarded": _guarded(outcome),
            "alarm_to_rest_ms": None if outcome.alarm_to_rest_ms is None else round(outcome.alarm_to_rest_ms),
        }
        for outcome in outcomes
    ]
    reasons = [f"{outcome.scenario} {outcome.seed}: {outcome.reason}" for outcome in outcomes if outcome.reason]
    return Report("", COLUMNS, rows, data=data, notes=["", *reasons, *notes])


def _word(success: bool | None) -> str | None:
    return None if success is None else "success" if success else "failure"


def _guarded(outcome: Outcome) -> str:
    if outcome.success is None:
        return "at rest" if outcome.halted else "NOT AT REST"
    return f"{_word(outcome.success)}{', halted' if outcome.halted else ''}"
