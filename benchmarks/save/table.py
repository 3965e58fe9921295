"""From rounds to the paper's figures: rounds to each threshold, area under the curve, demonstrations saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.save.loop import RoundResult

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Of the mean success on the wanted tasks; fixed before anything was run."""
COLUMNS = ("strategy", "seeds", "start", "aulc", "aulc_std", "last_3", "last_3_std", "final", "on_known",
           *(f"rounds_to_{t:g}" for t in THRESHOLDS),
           "saved_by_vfd", "saved_by_vfd_low", "saved_by_vfd_high", "paper_saved")  # fmt: skip
PAPER = {"random": 22.7, "diversity": 24.9, "save_gu": 17.7, "save_action_l2": 16.2}
"""Percent of demonstrations that SAVE with VFD saved on LIBERO-10 with SmolVLA, counted in the same way."""

Curves = Mapping[str, np.ndarray]


def curves(results: Sequence[RoundResult]) -> dict[str, np.ndarray]:
    """Mean success of each strategy, (seed, round)."""
    found: dict[str, dict[int, dict[int, float]]] = {}
    for result in results:
        found.setdefault(result.strategy, {}).setdefault(result.seed, {})[result.index] = result.mean
    return {
        name: np.array([[by_round[i] for i in sorted(by_round)] for _, by_round in sorted(seeds.items())])
        for name, seeds in found.items()
    }


def on_known(results: Sequence[RoundResult], known: Sequence[str]) -> dict[str, float]:
    """Share of its demonstrations that each strategy spent on tasks of the pretraining."""
    found: dict[str, list[bool]] = {}
    for result in results:
        found.setdefault(result.strategy, []).extend(e.rsplit("#", 1)[0] in known for e in result.chosen)
    return {name: float(np.mean(each)) for name, each in found.items() if each}


def rounds_to(curve: np.ndarray, threshold: float) -> float:
    """First round from which the success is at least ``threshold``; NaN where the curve never reaches it."""
    reached = np.flatnonzero(curve >= threshold)
    return float(reached[0]) if len(reached) else float("nan")


def row(name: str, found: np.ndarray) -> dict[str, Any]:
    """One strategy; spreads are sample standard deviations over seeds.

    The rounds to a threshold are a dash where the mean over seeds never reaches it, as in the paper.
    """
    after = found[:, 1:]
    area = np.trapezoid(after, axis=1) / max(after.shape[1] - 1, 1)
    last = after[:, -3:].mean(axis=1)
    mean = found.mean(axis=0)
    return {
        "strategy": name,
        "seeds": len(found),
        "start": float(mean[0]),
        "aulc": float(area.mean()),
        "aulc_std": _spread(area),
        "last_3": float(last.mean()),
        "last_3_std": _spread(last),
        "final": float(mean[-1]),
        **{f"rounds_to_{t:g}": rounds_to(mean, t) for t in THRESHOLDS},
    }


def saved(found: Curves, ours: str, other: str) -> float:
    """Percent of demonstrations that ``ours`` saves: 1 − Σ rounds / Σ rounds, over the thresholds that both reach."""
    pairs = [(rounds_to(found[ours].mean(0), t), rounds_to(found[other].mean(0), t)) for t in THRESHOLDS]
    # A threshold that the pretrained policy reaches already says nothing.
    both = [(a, b) for a, b in pairs if np.isfinite(a) and np.isfinite(b) and b > 0]
    return 100 * (1 - sum(a for a, _ in both) / sum(b for _, b in both)) if both else float("nan")


def saved_interval(found: Curves, ours: str, other: str, draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of :func:`saved` over seeds, which are paired."""
    rng = np.random.default_rng(seed)
    seeds = min(len(found[ours]), len(found[other]))
    values = []
    for _ in range(draws):
        rows = rng.integers(0, seeds, seeds)
        values.append(saved({ours: found[ours][rows], other: found[other][rows]}, ours, other))
    kept = [v for v in values if np.isfinite(v)]
    return (float(np.quantile(kept, 0.025)), float(np.quantile(kept, 0.975))) if kept else (float("nan"),) * 2


def savings(found: Curves, ours: str) -> dict[str, dict[str, Any]]:
    """Of every other strategy: what ``ours`` saves against it, with the interval and the paper's figure."""
    rows: dict[str, dict[str, Any]] = {}
    for other in found:
        if other != ours:
            low, high = saved_interval(found, ours, other)
            rows[other] = {
                "saved_by_vfd": saved(found, ours, other),
                "saved_by_vfd_low": low,
                "saved_by_vfd_high": high,
                "paper_saved": PAPER.get(other),
            }
    return rows


def _spread(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")
