"""The pictures of the report, as SVG or PNG in memory."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.evaluation.ranking import Scored
from vla_uq.evaluation.results import RunResult
from vla_uq.evaluation.table import PREFIX, Comparison, band_of, mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GOOD, BAD, GREY = "#1d7a33", "#b03020", "#8a929c"
DASHES = {"difficulty": ":", "difficulty_oracle": "-."}
GRID = np.linspace(0, 1, 101)
SHARES = {"matched": "length-matched", "leaky": "whole episodes (leaky)"}


def roc_curves(comparison: Comparison, rows: Sequence[str]) -> bytes:
    """ROC of some rows, length-matched, averaged over the splits at equal false-alarm rates; controls in grey."""
    figure, panels = _figure(2, 5.2, 4.4)
    for panel, part in zip(panels, PREFIX, strict=True):
        panel.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
        for name in rows:
            curves = [roc(scored) for scored in comparison.scored(name, part) if len(set(scored.failed.tolist())) == 2]
            if curves:
                auc = comparison.mean(name, part)
                style = _style(comparison.of(name)[0])
                panel.plot(GRID, np.mean(curves, axis=0), lw=1.4, label=f"{name} {auc:.2f}", **style)
        panel.set(title=f"{PREFIX[part]} tasks", xlabel="share of successes above", ylabel="share of failures above")
        panel.legend(fontsize=7, frameon=False, loc="lower right")
    return _svg(figure)


def roc(scored: Scored) -> NDArray[np.float64]:
    """Share of failures above the threshold, where the share of successes above it is each of :data:`GRID`."""
    thresholds = np.r_[np.inf, np.unique(scored.scores)[::-1]]
    above = scored.scores[:, None] >= thresholds
    above[:, 0] = False
    return np.interp(GRID, above[~scored.failed].mean(axis=0), above[scored.failed].mean(axis=0))


def accuracy_over_time(comparison: Comparison, rows: Sequence[str]) -> bytes:
    """Balanced accuracy over detection time for all alphas on unseen tasks, length-matched and leaky."""
    figure, panels = _figure(2, 5.2, 4.2)
    for panel, (protocol, title) in zip(panels, SHARES.items(), strict=True):
        for name in rows:
            runs = comparison.of(name)
            reports = [
                [b.reports["unseen"][protocol] for b in bands if not b.refused]
                for bands in zip(*(run.bands for run in runs), strict=True)
            ]
            times = [mean(r.detection_share for r in each) for each in reports if each]
            values = [mean(r.balanced_accuracy for r in each) for each in reports if each]
            panel.plot(times, values, marker="o", ms=2.5, lw=1.2, label=name, **_style(runs[0]))
        panel.set(title=title, xlabel="detection time / episode (1: missed)", ylabel="balanced accuracy", ylim=(0.4, 1))
        panel.set_xlim(0, 1)
    panels[0].legend(fontsize=7, frameon=False)
    return _svg(figure)


def timelines(comparison: Comparison, rows: Sequence[str], alpha: float) -> bytes:
    """Scores of a few test episodes over the inferences, with the band of ``alpha``; from the first split."""
    runs = [comparison.of(name)[0] for name in rows]
    figure, panels = _figure(2 * len(runs), 5.2, 2.5, columns=2)
    for run, pair in zip(runs, zip(panels[::2], panels[1::2], strict=True), strict=True):
        for panel, part in zip(pair, PREFIX, strict=True):
            _timeline(panel, run, part, alpha)
    return _svg(figure)


def _timeline(panel: Axes, run: RunResult, part: str, alpha: float) -> None:
    shown = [example for example in run.examples if example.part == part]
    for example in shown:
        panel.plot(example.curve, color=BAD if example.failed else GOOD, lw=1, alpha=0.9)
    band = band_of(run, alpha)
    if not band.refused:
        end = max((len(example.curve) for example in shown), default=1)
        panel.plot(band.upper[:end], color="black", lw=1.1, ls="--")
        low = min([*band.upper[:end], *(min(example.curve) for example in shown)])
        # A sum that has long left the band would flatten everything else.
        top = min(panel.get_ylim()[1], low + 4 * (max(band.upper[:end]) - low))
        panel.set_ylim(low - 0.05 * (top - low), top)
    panel.set_title(f"{run.row}, {PREFIX[part]} tasks", fontsize=8, loc="left")
    panel.tick_params(labelsize=7)


def feature_map(flat: NDArray[np.float64], marks: Mapping[str, NDArray[np.bool_]], title: str) -> bytes:
    """Points (n, 2) in the plane.

    :param marks: ``failed`` and ``unseen``, (n,) both: colour and shape.
    """
    figure, (panel,) = _figure(1, 5.6, 4.6)
    for unseen, marker in ((False, "o"), (True, "^")):
        for failed, colour in ((False, GOOD), (True, BAD)):
            chosen = (marks["failed"] == failed) & (marks["unseen"] == unseen)
            label = f"{'failure' if failed else 'success'}, {'unseen' if unseen else 'seen'} task"
            across, up = flat[chosen].T
            panel.scatter(across, up, s=9, c=colour, marker=marker, alpha=0.55, lw=0, label=label)
    panel.set_title(title, fontsize=9)
    panel.set(xticks=[], yticks=[])
    panel.legend(fontsize=7, frameon=False)
    return _png(figure)


def _style(run: RunResult) -> dict[str, Any]:
    return {"color": GREY, "ls": DASHES.get(run.row, "--")} if run.control else {}


def _figure(count: int, width: float, height: float, columns: int | None = None) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = min(count, columns or count)
    down = math.ceil(count / across)
    figure = Figure(figsize=(width * across, height * down), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(down, across, squeeze=False).flat)


def _svg(figure: Figure) -> bytes:
    import matplotlib

    # A fixed salt and no date: the same results make the same file.
    with io.BytesIO() as file, matplotlib.rc_context({"svg.hashsalt": "vla_monitor", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
        return file.getvalue()


def _png(figure: Figure) -> bytes:
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=120)
        return file.getvalue()
