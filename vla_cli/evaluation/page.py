"""The comparison on one HTML page that needs nothing beside itself."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from vla_cli.console import finite
from vla_cli.evaluation import figures, tables
from vla_cli.surroundings import require, versions
from vla_uq.errors import InputError
from vla_uq.evaluation.episodes import Material, open_store
from vla_uq.evaluation.maps import pca, points, tsne
from vla_uq.evaluation.results import TESTED
from vla_uq.evaluation.table import Comparison

TEMPLATE = Path(__file__).with_name("page.html")
DRAWN = 6
"""Detectors in the pictures, best on unseen tasks first; the controls are drawn besides."""


def write_page(
    path: Path,
    comparison: Comparison,
    rows: Sequence[Mapping[str, Any]],
    store: Path,
    alpha: float,
    notes: Sequence[str],
    line: str,
) -> None:
    """Draw everything and fill the template.

    :param rows: of :func:`vla_uq.evaluation.table.table`.
    :param line: what was compared, in one line.
    :raises InputError: when matplotlib is not installed.
    """
    require("plot")
    order = [row["row"] for row in sorted(rows, key=lambda row: -np.nan_to_num(row["unseen_roc_auc"], nan=-1.0))]
    controls = [row["row"] for row in rows if row["control"]]
    drawn = [name for name in order if name not in controls][:DRAWN]
    text = Template(TEMPLATE.read_text()).substitute(
        line=html.escape(line),
        table=_table(rows),
        notes="".join(f'<p class="note">{html.escape(note)}</p>' for note in notes),
        roc=_inline("svg+xml", figures.roc_curves(comparison, [*drawn, *controls])),
        times=_inline("svg+xml", figures.accuracy_over_time(comparison, [*drawn, *controls])),
        timelines=_inline("svg+xml", figures.timelines(comparison, drawn[:4], alpha)),
        alpha=f"{alpha:g}",
        maps=_maps(comparison, store),
        chosen=html.escape("\n".join(f"{row['row']}: {json.dumps(finite(row['chosen']))}" for row in rows)),
        versions=html.escape(json.dumps(versions(), indent=1)),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text)
    temporary.replace(path)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = "".join(f"<th>{html.escape(column.replace('_', ' '))}</th>" for column in tables.COLUMNS)
    body = []
    for row in tables.shown(rows):
        cells = "".join(f'<td class="number">{html.escape(str(row[c]))}</td>' for c in tables.COLUMNS[1:])
        kind = ' class="control"' if row["detector"].endswith("(control)") else ""
        body.append(f"<tr{kind}><td>{html.escape(row['detector'])}</td>{cells}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _maps(comparison: Comparison, store: Path) -> str:
    """The test episodes of the first split by PCA and by t-SNE; a line instead where they cannot be drawn."""
    split = comparison.splits[0]
    material = Material(open_store(store), split)
    rollouts = [rollout for part in TESTED for rollout in material.part(part)]
    unseen = set(split.parts["unseen"])
    marks = {
        "failed": np.array([not rollout.meta.success for rollout in rollouts]),
        "unseen": np.array([rollout.meta.episode_id in unseen for rollout in rollouts]),
    }
    try:
        values = points(rollouts, material.cut_offs("train"))
        flat, share = pca(values)
        pictures = [figures.feature_map(flat, marks, f"PCA ({share:.0%} of the variance)")]
        pictures.append(figures.feature_map(tsne(values), marks, "t-SNE"))
    except InputError as error:
        return f'<p class="note">No feature map: {html.escape(str(error))}</p>'
    images = "".join(f'<img style="max-width: 49%" alt="feature map" src="{_inline("png", p)}">' for p in pictures)
    return f"<p>Mean features of each test episode's first steps; first split.</p>{images}"


def _inline(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
