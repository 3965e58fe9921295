"""How well scores rank the conditions: the rows of the table, and the picture beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.toy2d.problem import Array
from benchmarks.toy2d.truth import Truth
from vla_uq.evaluation.metrics import roc_auc

COLUMNS = ("score", "members", "n", "kl", "kl95", "kl95_std", "w2", "inside", "outside", "auroc", "median", "ms")


@dataclass(frozen=True)
class Scored:
    """One score of one ensemble.

    :param values: (C,) at each condition.
    :param ms: milliseconds a condition, all conditions at once.
    """

    values: Array
    truth: Truth
    inside: np.ndarray
    ms: float


def row(name: str, members: int, scored: Sequence[Scored]) -> dict[str, Any]:
    """Spearman correlations with the truth, mean over ensembles (spread beside the one of KL at t = .95)."""
    kl95 = [_rank(s.values, s.truth.kl95) for s in scored]
    return {
        "score": name,
        "members": members,
        "n": len(scored),
        "kl": np.mean([_rank(s.values, s.truth.kl) for s in scored]),
        "kl95": np.mean(kl95),
        "kl95_std": np.std(kl95, ddof=1) if len(kl95) > 1 else float("nan"),
        "w2": np.mean([_rank(s.values, s.truth.w2) for s in scored]),
        "inside": np.mean([_rank(s.values[s.inside], s.truth.kl95[s.inside]) for s in scored]),
        "outside": np.mean([_rank(s.values[~s.inside], s.truth.kl95[~s.inside]) for s in scored]),
        "auroc": np.mean([roc_auc(s.values, ~s.inside) for s in scored]),
        "median": np.mean([np.median(s.values) for s in scored]),
        "ms": np.mean([s.ms for s in scored]),
    }


def _rank(values: Array, truth: Array) -> float:
    return float(spearmanr(values, truth).statistic)


def draw(path: Path, training: Array, fields: Mapping[str, Array]) -> None:
    """The true divergence and scores over the plane of conditions, on logarithmic colours."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    side = round(len(next(iter(fields.values()))) ** 0.5)
    figure, axes = plt.subplots(1, len(fields), figsize=(3.4 * len(fields), 3.6), layout="constrained")
    for axis, (name, values) in zip(axes, fields.items(), strict=True):
        positive = np.log10(np.maximum(values, np.quantile(values[values > 0], 0.01))) if (values > 0).any() else values
        picture = axis.imshow(positive.reshape(side, side).T, origin="lower", extent=(-2.6, 2.6, -2.6, 2.6))
        axis.plot(training[::8, 0], training[::8, 1], ".", color="white", markersize=1, alpha=0.5)
        axis.set_title(name, fontsize=10)
        figure.colorbar(picture, ax=axis, shrink=0.75)
    figure.suptitle("log10 (GU as it is, being negative); white: training conditions", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
