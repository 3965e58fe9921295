"""``python -m benchmarks.results``: docs/results.md from the files that the benchmarks wrote.

A section for each JSON file, in order of their names: its title, its command, its table, and below it the hand-written
``<name>.md`` beside the JSON, where there is one. Nothing in the page is written by hand but those.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vla_cli.console import cell
from vla_uq.artefact import field
from vla_uq.errors import InputError

DOCS = Path("docs/results")
PAGE = Path("docs/results.md")
HEAD = """# Results

Every table is written by the command above it; this page is put together from their files by
`python -m benchmarks.results`. Times are of the machine named, ratios and rates are not.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page; 0, or 2 on wrong input (one line on stderr)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description="Write docs/results.md.")
    parser.add_argument("--from", dest="folder", type=Path, default=DOCS, metavar="DIR", help=f"default: {DOCS}")
    parser.add_argument("--out", type=Path, default=PAGE, metavar="FILE", help=f"default: {PAGE}")
    parser.add_argument(
        "--take", type=Path, nargs="+", default=[], metavar="FILE", help="copy these results of benchmarks there first"
    )
    args = parser.parse_args(argv)
    try:
        for path in args.take:
            read(path)
            args.folder.mkdir(parents=True, exist_ok=True)
            (args.folder / path.name).write_text(path.read_text())
        text = page(args.folder)
    except InputError as error:
        print(f"benchmarks.results: {error}", file=sys.stderr)
        return 2
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)
    print(f"written: {args.out}")
    return 0


def page(folder: Path) -> str:
    """The whole page.

    :raises InputError: when the folder has no results, or one of them is not a benchmark's.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise InputError(
            "no results", where=str(folder), expected="*.json", remedy="run a benchmark and --take its file"
        )
    return "\n".join([HEAD, *(section(path) for path in paths)])


def section(path: Path) -> str:
    """One benchmark: title, command, table, notes and commentary.

    :raises InputError: when the file is not a benchmark's.
    """
    result = read(path)
    device = f"{result['device']}; {', '.join(f'{k} {v}' for k, v in result['versions'].items())}"
    lines = [f"## {result['title']}", "", "```sh", result["command"], "```", ""]
    lines += [*markdown(result["columns"], result["rows"]), ""]
    for table in result.get("tables", []):
        lines += [f"**{table['title']}**", "", *markdown(table["columns"], table["rows"]), ""]
    lines += [f"- {note}" for note in result["notes"]]
    commentary = path.with_suffix(".md")
    if commentary.exists():
        lines += ["", commentary.read_text().strip()]
    return "\n".join([*lines, "", f"<sub>{device}</sub>", ""])


def markdown(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table; ``x``, ``x_low`` and ``x_high`` that follow each other become one column."""
    shown = [c for c in columns if not any(c == f"{other}{end}" for other in columns for end in ("_low", "_high"))]
    heads = [column.replace("_", " ") for column in shown]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return lines + [f"| {' | '.join(_cell(row, column, columns) for column in shown)} |" for row in rows]


def read(path: Path) -> dict[str, Any]:
    """A benchmark's file.

    :raises InputError: naming the file and the field.
    """
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise InputError("cannot be read", where=str(path), found=error.strerror) from error
    except ValueError as error:
        raise InputError("is not JSON", where=str(path), found=error) from error
    if not isinstance(document, dict):
        raise InputError("is not a benchmark's result", where=str(path))
    for name in ("title", "command", "device"):
        field(document, name, str, str(path))
    for name in ("columns", "rows", "notes"):
        field(document, name, list, str(path))
    field(document, "versions", dict, str(path))
    return document


def _cell(row: Mapping[str, Any], column: str, columns: Sequence[str]) -> str:
    text = cell(row.get(column)).replace("|", "\\|")
    if f"{column}_low" not in columns or row.get(f"{column}_low") is None:
        return text
    return f"{text} ({cell(row[f'{column}_low'])}–{cell(row[f'{column}_high'])})"


if __name__ == "__main__":
    sys.exit(main())
