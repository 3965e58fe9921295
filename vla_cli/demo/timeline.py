"""One picture of the demo: for each episode its scores against the threshold, over the supervisor's states."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vla_cli.demo.history import EpisodeHistory
from vla_cli.demo.results import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 3
SHOWN = 3.0
"""Scores are drawn up to so many thresholds; beyond, at the edge."""
COLOURS = {
    "IDLE": "#ffffff",
    "AUTONOMOUS": "#d9efdc",
    "HALTING": "#f6b5a8",
    "HALTED": "#fbe3dd",
    "TELEOP": "#d6e4f7",
    "RESUMING": "#fff3cf",
    "FAULT": "#d28fd2",
    "UNKNOWN": "#e4e4e4",
    "SHUTDOWN": "#e4e4e4",
}


def draw(outcomes: Sequence[Outcome], histories: Mapping[str, EpisodeHistory], path: Path) -> None:
    """Write the picture as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rows = math.ceil(len(outcomes) / COLUMNS)
    figure = Figure(figsize=(5.2 * COLUMNS, 2.1 * rows + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, COLUMNS, squeeze=False)
    for panel in panels.flat[len(outcomes) :]:
        panel.set_axis_off()
    for panel, outcome in zip(panels.flat, outcomes, strict=False):
        _panel(panel, outcome, histories)
    states = [Patch(color=colour, label=name) for name, colour in COLOURS.items() if name not in ("IDLE", "SHUTDOWN")]
    figure.legend(handles=states, loc="outside upper center", ncols=len(states), frameon=False, fontsize=8)
    figure.supxlabel("seconds since the episode began", fontsize=9)
    figure.supylabel("nonconformity / threshold (solid: guarded, dotted: shadow)", fontsize=9)
    figure.savefig(path, dpi=110)


def _panel(panel: Axes, outcome: Outcome, histories: Mapping[str, EpisodeHistory]) -> None:
    runs = [histories[episode] for episode in outcome.episode_ids if episode in histories]
    panel.set_title(f"{outcome.scenario} · seed {outcome.seed} · {outcome.task}", fontsize=7, loc="left")
    panel.tick_params(labelsize=7)
    if not runs:
        return
    guarded = runs[-1]
    _states(panel, guarded)
    panel.axhspan(0, 1, color="#2c7d3b", alpha=0.08, lw=0)
    panel.axhline(1, color="#b03020", lw=0.9)
    for run, style in ((guarded, "-"), *((run, ":") for run in runs[:-1])):
        times = [time for time, _, _ in run.scores]
        values = [_relative(score, threshold) for _, score, threshold in run.scores]
        panel.plot(times, values, style, color="#222222", lw=1.1, marker="o", ms=2.2)
    panel.set_ylim(0, SHOWN)
    panel.set_xlim(0, max(1.0, guarded.end))


def _states(panel: Axes, run: EpisodeHistory) -> None:
    from supervisor_node.states import State

    ends = [time for time, _ in run.states[1:]] + [run.announced]
    spans = [(start, end, State(state).name) for (start, state), end in zip(run.states, ends, strict=True)]
    # A supervisor that was killed says nothing more: what it said last is not shown as if it still held.
    for start, end, name in (*spans, (run.announced, run.end, State.UNKNOWN.name)):
        panel.axvspan(start, end, color=COLOURS[name], lw=0, zorder=0)


def _relative(score: float, threshold: float) -> float:
    """Score in units of the threshold, clipped to the panel; what is not finite is an alarm and drawn at the edge."""
    if not (math.isfinite(score) and math.isfinite(threshold)):
        return SHOWN
    return min(max(score / threshold if threshold > 0 else SHOWN, 0.0), SHOWN)
