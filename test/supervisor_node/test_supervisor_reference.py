"""The pages of the reference are those that the code would write now."""

from __future__ import annotations

import re
from pathlib import Path

from fault_rows import ROWS

from supervisor_node.guards import GUARDS
from supervisor_node.reference import page
from supervisor_node.table import Action, Event

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def test_the_page_about_the_supervisor_is_up_to_date() -> None:
    written = (REFERENCE / "supervisor.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m supervisor_node.reference > docs/reference/supervisor.md"


def test_everything_is_explained() -> None:
    assert all(member.text for kind in (Event, Action) for member in kind)
    assert all(guard.__doc__ for _, _, guard in GUARDS)


def test_the_page_about_the_faults_has_every_row() -> None:
    written = (REFERENCE / "faults.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| (\d+) \| ([^|]+) \|", written, re.MULTILINE)
    assert {int(number): fault for number, fault in found} == {number: fault for number, (fault, _) in ROWS.items()}
