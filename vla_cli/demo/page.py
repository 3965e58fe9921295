"""``report.html``: the whole demo on one page that needs nothing beside itself."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from vla_cli.console import Report, cell

TEMPLATE = Path(__file__).with_name("page.html")


def write_page(
    path: Path, table: Report, summary: Mapping[str, Any], timeline: Path, film: Path | None, line: str
) -> None:
    """Fill the template; pictures and film are embedded.

    :param table: the table that the demo prints.
    :param film: None when no overlay was recorded.
    """
    audit = summary["audit"]
    violations = len(audit.get("violations", ()))
    text = Template(TEMPLATE.read_text()).substitute(
        line=html.escape(line),
        episodes=_table(table.columns, table.rows),
        timeline=_embedded(timeline),
        film=_film(film),
        audit_class="bad" if violations else "good",
        audit_line=f"{violations} violations" if violations else "No violations.",
        audit=html.escape(json.dumps(audit, indent=1)),
        versions=html.escape(json.dumps(summary["versions"], indent=1)),
    )
    path.write_text(text)


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    head = "".join(f"<th>{html.escape(column.replace('_', ' '))}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(_cell(row.get(column)) for column in columns)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    kind = ' class="number"' if number else ""
    return f"<td{kind}>{html.escape(cell(value))}</td>"


def _film(film: Path | None) -> str:
    if film is None:
        return '<p class="bad">No overlay images were recorded.</p>'
    return f'<video controls muted playsinline src="data:video/mp4;base64,{_embedded(film)}"></video>'


def _embedded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
