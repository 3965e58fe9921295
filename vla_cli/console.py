"""What a verb prints: live progress on stderr, one table (or the same as JSON) on stdout."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Report:
    """The outcome of a verb.

    :param columns: keys of ``rows`` to print, in order; their headings in the table are the keys with spaces.
    :param data: what ``--json`` prints beside the rows.
    :param notes: lines under the table.
    :param exit_code: 0 done, 1 something was found wrong.
    """

    title: str
    columns: Sequence[str] = ()
    rows: Sequence[Mapping[str, Any]] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    exit_code: int = 0


class Advance(Protocol):
    """Call it when ``n`` more units of work are done."""

    def __call__(self, n: int = 1, note: str = "") -> None: ...


class Console:
    """Prints a verb's progress and report.

    :param as_json: print the report as one JSON object; progress still goes to stderr.
    """

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json

    def say(self, line: str) -> None:
        """One line of progress on stderr."""
        print(line, file=sys.stderr, flush=True)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Advance]:
        """A progress bar on a terminal, now and then a line elsewhere."""
        if sys.stderr.isatty():
            yield from self._bar(title, total)
        else:
            yield from self._lines(title, total)

    def _bar(self, title: str, total: int) -> Iterator[Advance]:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=RichConsole(stderr=True)) as bar:
            task = bar.add_task(title, total=total, note="")

            def advance(n: int = 1, note: str = "") -> None:
                bar.update(task, advance=n, note=note)

            yield advance

    def _lines(self, title: str, total: int) -> Iterator[Advance]:
        done, shown = 0, 0

        def advance(n: int = 1, note: str = "") -> None:
            nonlocal done, shown
            done += n
            tenth = 10 * done // max(total, 1)
            if tenth > shown or done == total:
                shown = tenth
                self.say(f"{title}: {done}/{total} {note}".rstrip())

        self.say(f"{title}: 0/{total}")
        yield advance

    def stages(self) -> Callable[[int, int, str], None]:
        """Tells of work in several stages, as they come: call it with (done, total, what is being done)."""
        shown: dict[str, int] = {}

        def tell(done: int, total: int, what: str) -> None:
            tenth = 10 * done // max(total, 1)
            if tenth > shown.get(what, -1):
                shown[what] = tenth
                self.say(f"{what}: {done}/{total}")

        return tell

    def show(self, report: Report) -> None:
        """Print the report: a table for people, or one JSON object."""
        if self.as_json:
            content = finite({"title": report.title, **report.data, "rows": list(report.rows)})
            print(json.dumps(content, default=_plain, allow_nan=False))
            return
        if report.rows:
            print(render(report))
        elif report.title:
            print(report.title)
        for note in report.notes:
            print(note)


def render(report: Report) -> str:
    """The report's table as text, wide enough for its content whatever the terminal says."""
    heads = [column.replace("_", " ") for column in report.columns]
    cells = [[cell(row.get(column)) for column in report.columns] for row in report.rows]
    widths = [max(len(line[i]) for line in [heads, *cells]) for i in range(len(heads))]
    right = [all(isinstance(r.get(c), (int, float, type(None))) for r in report.rows) for c in report.columns]

    def line(values: Sequence[str]) -> str:
        parts = [v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True)]
        return "  ".join(parts).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([report.title, line(heads), rule, *(line(values) for values in cells)])


def cell(value: object) -> str:
    """One value for people: yes/no, a dash for nothing, three significant digits for numbers."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def finite(value: Any) -> Any:
    """The same for JSON, which has no NaN and no infinity: a number that is not finite becomes null."""
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    """JSON for numpy scalars and arrays, paths and the like."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
