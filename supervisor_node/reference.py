"""Writes ``docs/reference/supervisor.md`` from the data that decides: the table, the guards, the settings.

``python -m supervisor_node.reference > docs/reference/supervisor.md``, in the source tree.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from supervisor_node.admission import EVENTS
from supervisor_node.audit.report import RULES
from supervisor_node.desk import GOALS
from supervisor_node.guards import GUARDS, OF_THE_ROBOT
from supervisor_node.parameters import PARAMETERS
from supervisor_node.states import State
from supervisor_node.table import REASONS, TABLE, Action, Event
from supervisor_node.values import Wish

STATE_MESSAGE = Path(__file__).resolve().parents[1] / "msg" / "SupervisorState.msg"
_CONSTANT = re.compile(r"uint8 (\w+)=\d+\s+# (.+)")

HEAD = """# The supervisor's state machine

Written by `python -m supervisor_node.reference` from the data that the supervisor runs on; do not edit.

One pure class takes what is new and the time, and returns what to send, publish and answer. In every step it looks at
the events below from the top: the first that has a row in the table for the current state is taken, and then again,
until none is left. So what stops the arm beats everything else that arrived in the same step.
"""


def page() -> str:
    """The page."""
    meanings = dict(_CONSTANT.findall(STATE_MESSAGE.read_text(encoding="utf-8")))
    reasons = ((reason.name, meanings[f"REASON_{reason.name}"]) for reason in sorted(set(REASONS.values())))
    parts = [
        HEAD,
        "## States\n",
        _table(("state", "meaning"), ((state.name, meanings[state.name]) for state in State)),
        "## Transitions\n",
        "Rows that lead from one state to the same one by the same action stand in one line. Events that are not",
        "listed for a state change nothing there; an operator's request that has no row is refused with the reason.\n",
        _table(("from", "event", "to", "action"), _rows()),
        "## Events, most urgent first\n",
        _table(("event", "what happened", "reason shown"), _events()),
        "## Reasons\n",
        _table(("reason", "meaning"), reasons),
        "## Guards\n",
        "All must hold for half a second, and the arm must rest, before UNKNOWN is left; all must hold to start and to",
        "resume; those of the robot to take over and to reset. Each one is named in `failing_guards`, and says why.\n",
        _table(("guard", "event while it fails", "of the robot", "holds when"), _guards()),
        "## Answers\n",
        "An answer is true: yes is said when the state was reached and, for a halt, when the arm was measured at rest.",
        "It is no, with the reason, when a guard fails or another end comes first.\n",
        _table(("service", "event", "yes when"), _answers()),
        "## Parameters\n",
        "All but `mode` are fixed once the node runs. Limits of the arm stand in its profile in `config/arms`.\n",
        _table(("parameter", "default", "meaning"), ((n, f"`{d!r}`", text) for n, (d, text) in PARAMETERS.items())),
        "## What always holds\n",
        "`vla-monitor audit` checks these on every recording; the property tests on random interleavings.\n",
        _table(("rule", "what"), RULES.items()),
    ]
    return "\n".join(parts)


def _rows() -> Iterator[tuple[str, ...]]:
    """Rows of the table that differ in the event alone, together."""
    alike: dict[tuple[State, State, Action], list[Event]] = defaultdict(list)
    for row in TABLE:
        alike[row.source, row.target, row.action].append(row.event)
    for (source, target, action), events in sorted(alike.items()):
        yield source.name, ", ".join(event.name for event in sorted(events)), target.name, action.text


def _events() -> Iterator[tuple[str, ...]]:
    for event in Event:
        reason = REASONS.get(event)
        yield event.name, event.text, reason.name if reason is not None else ""


def _guards() -> Iterator[tuple[str, ...]]:
    for name, event, guard in GUARDS:
        yield name, event.name, "yes" if name in OF_THE_ROBOT else "", (inspect.getdoc(guard) or "").rstrip(".")


def _answers() -> Iterator[tuple[str, ...]]:
    for wish in Wish:
        goal = GOALS.get(wish)
        yield wish.value, EVENTS[wish].name, f"{goal.name} was entered" if goal else "the arm's driver is done"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
