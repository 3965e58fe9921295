"""Collects the outcomes of tests marked ``faults(row, tier)``; ``pytest -m faults`` prints them as a table.

It also writes ``out/faults.json``, and with ``--faults-reference=FILE`` the page of the reference. A test tells the
times that it measured with ``record_property("alarm_to_rest_ms", …)`` and ``"kill_to_rest_ms"``; the worst counts.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fault_rows import ROWS

TIMES = ("alarm_to_rest_ms", "kill_to_rest_ms")
OUT = Path("out") / "faults.json"
NIGHTLY, DRILL = "nightly", "drill"
LEFT_OUT = {NIGHTLY: (NIGHTLY,), DRILL: (DRILL, "faults")}
"""Marks of tests that run only when one of these words is in ``-m``."""
TIERS = {
    "U": "pure, on a fake clock",
    "L": "real rclpy in one process, against doubles of the drivers",
    "R": "real processes over DDS",
    "N": "network namespaces",
}


@dataclass
class Row:
    """What became of one fault's tests."""

    tests: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    reasons: dict[str, None] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)

    def as_dict(self, number: int) -> dict[str, Any]:
        """One row of the JSON file."""
        seen = set().union(*self.outcomes.values()) if self.outcomes else {"not run"}
        outcome = next(o for o in ("failed", "passed", "skipped", "not run") if o in seen)
        ran = {tier for tier, outcomes in self.outcomes.items() if outcomes != {"skipped"}}
        missing = [tier for tier in ROWS[number][1] if tier not in self.outcomes]
        reasons = list(self.reasons) + ([f"no test at tier {', '.join(missing)} was run"] if missing else [])
        return {
            "id": number,
            "fault": ROWS[number][0],
            "tier": " ".join(tier for tier in TIERS if tier in ran),
            "outcome": outcome,
            "reason": "; ".join(reasons),
            **{name: round(self.times[name]) if name in self.times else None for name in TIMES},
            "tests": sorted(self.tests),
        }


class FaultTable:
    """One run's outcomes."""

    def __init__(self, reference: str | None) -> None:
        self._rows = {number: Row() for number in ROWS}
        self._marks: dict[str, list[tuple[int, str]]] = {}
        self._reference = reference

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note which test is about which fault."""
        for item in items:
            for mark in item.iter_markers("faults"):
                row, tier = mark.kwargs["row"], mark.kwargs["tier"]
                assert row in ROWS and tier in TIERS, f"{item.nodeid}: faults(row={row}, tier={tier})"
                self._marks.setdefault(item.nodeid, []).append((row, tier))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a test's outcome."""
        for number, tier in self._marks.get(report.nodeid, ()):
            row = self._rows[number]
            for name, value in report.user_properties:
                if name in TIMES:
                    row.times[name] = max(row.times.get(name, 0.0), float(value))
            if report.when != "call" and report.outcome == "passed":
                continue
            row.tests[report.nodeid] = tier
            row.outcomes[tier].add(report.outcome)
            if report.outcome == "skipped":
                text = report.longrepr[-1] if isinstance(report.longrepr, tuple) else str(report.longrepr)
                row.reasons[f"{tier}: {text.removeprefix('Skipped: ')}"] = None
            elif report.outcome == "failed":
                row.reasons[f"{tier}: {report.nodeid.split('::')[-1]} failed"] = None

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        """Print and write the table, where the faults were asked for."""
        if "faults" not in config.option.markexpr:
            return
        rows = [row.as_dict(number) for number, row in self._rows.items()]
        terminalreporter.section("faults")
        for line in table(rows):
            terminalreporter.write_line(line)
        write(Path(config.rootpath) / OUT, json.dumps({"rows": rows}, indent=1) + "\n")
        if self._reference:
            write(Path(self._reference), reference(rows))


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The table, for a terminal; the worst times stand at its end."""
    width = max(len(row["fault"]) for row in rows)
    lines = [f"{'':>2}  {'fault':<{width}}  tiers  outcome  alarm→rest  kill→rest  remarks"]
    for row in rows:
        alarm, kill = (f"{row[name]:>6} ms" if row[name] is not None else "        –" for name in TIMES)
        head = f"{row['id']:>2}  {row['fault']:<{width}}  {row['tier']:<5}  {row['outcome']:<7}"
        lines.append(f"{head}  {alarm:>10}  {kill:>9}  {row['reason']}".rstrip())
    for name, text in zip(TIMES, ("alarm to rest", "kill to rest"), strict=True):
        known = [row[name] for row in rows if row[name] is not None]
        lines.append(f"worst {text}: {f'{max(known)} ms' if known else 'not measured'}")
    return lines


def reference(rows: list[dict[str, Any]]) -> str:
    """The page of the reference."""
    lines = [
        "# Faults survived",
        "",
        "Written by `pytest -m faults --faults-reference=docs/reference/faults.md` from the outcomes of the tests, one",
        "row a fault. The times are the worst that the row's tests measured on the machine that wrote this page: from",
        "the alarm, or from the kill or the cut, to the arm measured at rest (a window of 0.2 s included). Tiers:",
        "",
        *(f"- {tier}: {text}" for tier, text in TIERS.items()),
        "",
        "| # | fault | tiers run | outcome | alarm to rest, ms | kill to rest, ms | remarks |",
        "|--:|---|---|---|--:|--:|---|",
    ]
    for row in rows:
        alarm, kill = ("" if row[name] is None else row[name] for name in TIMES)
        head = f"| {row['id']} | {row['fault']} | {row['tier']} | {row['outcome']}"
        lines.append(f"{head} | {alarm} | {kill} | {row['reason']} |")
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Nothing half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer ``--faults-reference``."""
    parser.addoption("--faults-reference", metavar="FILE", help="with -m faults: write the table as a page here")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marks known and begin to listen."""
    config.addinivalue_line("markers", "faults(row, tier): survives that fault (test/common/fault_rows.py)")
    config.addinivalue_line("markers", f"{NIGHTLY}: takes minutes; runs only when asked for by -m {NIGHTLY}")
    config.addinivalue_line("markers", f"{DRILL}: many processes over DDS, minutes in all; -m {DRILL} or -m faults")
    config.pluginmanager.register(FaultTable(config.getoption("--faults-reference")), "fault-table")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long, unless it is asked for."""
    asked = config.option.markexpr
    late = [mark for mark, by in LEFT_OUT.items() if not any(word in asked for word in by)]
    left = {item.nodeid for item in items if any(item.get_closest_marker(mark) for mark in late)}
    if left:
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left])
        items[:] = [item for item in items if item.nodeid not in left]
