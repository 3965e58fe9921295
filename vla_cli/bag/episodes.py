"""What a bag holds of each episode of the supervisor: when it was, and what policy and monitor said in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from supervisor_node.audit import read as content_of
from supervisor_node.audit.contents import Announced
from supervisor_node.states import Label, Mode, Moment, Reason, State
from supervisor_node.values import Happening, Snapshot
from vla_cli.bag.reader import ends_with, read, scan
from vla_uq.contracts import Chunk, Key, Score, Trace
from vla_uq.errors import InputError

EVENTS, TRACE, SCENE = "supervisor_node/events", "policy_node/trace", "sim_node/sim_state"
TOPICS = ("supervisor_node/state", "policy_node/chunk", "monitor_node/score", TRACE, SCENE)
T = TypeVar("T")


@dataclass
class Span:
    """When an episode was, in a bag.

    :param start: ns; None: before the recording.
    :param stop: ns; None: after the recording.
    """

    bag: Path
    episode: str
    start: int | None = None
    stop: int | None = None
    label: Label = Label.UNKNOWN


@dataclass
class Recording:
    """What was recorded of an episode.

    :param interrupted: the arm was halted, or a human had it, before the end was asked for.
    :param scene: the first ``SimState``; None on a real arm.
    """

    traces: list[Trace] = field(default_factory=list)
    chunks: dict[Key, Chunk] = field(default_factory=dict)
    scores: dict[Key, Score] = field(default_factory=dict)
    modes: set[Mode] = field(default_factory=set)
    interrupted: bool = False
    scene: Any = None


def spans(bag: Path) -> Iterator[Span]:
    """The episodes of a bag in the order in which they began.

    :raises InputError: when the bag cannot be read.
    """
    found: dict[str, Span] = {}
    for recorded in read(bag, [EVENTS]):
        happening = _ours(content_of, recorded.topic, recorded.message)
        # What an operator asks for between two episodes belongs to none.
        if not isinstance(happening, Happening) or not happening.episode_id:
            continue
        span = found.setdefault(happening.episode_id, Span(bag, happening.episode_id))
        if happening.moment is Moment.STARTED:
            span.start = recorded.time_ns
        elif happening.moment is Moment.ENDED:
            span.stop, span.label = recorded.time_ns, happening.label
    return iter(found.values())


def collect(span: Span) -> Recording:
    """Read one episode; only its part of the bag is looked at.

    :raises InputError: when the episode is not in the bag as a whole, or the bag cannot be read.
    """
    if span.start is None or span.stop is None:
        lacking = "began before the recording" if span.start is None else "was not ended in the recording"
        raise InputError(f"episode {lacking}", where=EVENTS, expected="one that is recorded as a whole")
    found = Recording()
    for recorded in scan(span.bag, TOPICS, span.start, span.stop):
        if ends_with(recorded.topic, [TRACE]):
            trace = _ours(Trace.from_message, recorded.message)
            # After a halt, or under a human's hands, what the policy thinks has no consequence.
            if trace.key.episode_id == span.episode and not found.interrupted:
                found.traces.append(trace)
        elif ends_with(recorded.topic, [SCENE]):
            found.scene = found.scene or recorded.message
        else:
            _take(found, span.episode, _ours(content_of, recorded.topic, recorded.message))
    return found


def _take(found: Recording, episode: str, content: object) -> None:
    if isinstance(content, Announced) and content.snapshot.episode_id == episode:
        found.modes.add(content.snapshot.mode)
        found.interrupted = found.interrupted or _interrupted(content.snapshot)
    elif isinstance(content, Chunk) and content.key.episode_id == episode:
        found.chunks[content.key] = content
    elif isinstance(content, Score) and content.key.episode_id == episode:
        found.scores[content.key] = content


def _interrupted(snapshot: Snapshot) -> bool:
    """Every episode ends with a halt, too: the one that the operator's end asks for is no interruption."""
    if snapshot.state is State.HALTING:
        return snapshot.reason is not Reason.EPISODE_END
    return snapshot.intervention or snapshot.state in (State.HALTED, State.TELEOP, State.FAULT, State.SHUTDOWN)


def _ours(reader: Callable[..., T], *arguments: Any) -> T:
    """What a message means.

    :raises InputError: when it is of another project, or cannot be right.
    """
    try:
        return reader(*arguments)
    except (AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("not a message of this project", found=error) from error
