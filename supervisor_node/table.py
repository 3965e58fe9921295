"""The transition table: data. From, event, to, action; the first row that fits is taken.

Events are listed in the order in which they are looked at, so that what stops the arm beats everything else that
happened in the same step. The guard behind each event stands where the event is raised and says why in its text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto

from supervisor_node.states import Reason, State
from supervisor_node.values import NO_KEY, Request
from vla_uq.contracts import Key


class Event(IntEnum):
    """What can make the state change, most urgent first."""

    ALERT = auto()  # a score does not pass
    BAD_SCORE = auto()  # a score is not finite, malformed, or of another chunk
    BAD_CHUNK = auto()  # a chunk is malformed or out of limits
    ESTOP = auto()
    HALT = auto()  # an operator's halt
    INTERNAL = auto()  # an error of ours, or the control tick came late
    HARDWARE = auto()  # the arm's driver reports an error
    CLOCK_JUMP = auto()
    ROBOT_STALE = auto()  # joint states or pose missing, old or not finite
    FOREIGN_PUBLISHER = auto()
    MONITOR_STALE = auto()
    POLICY_STALE = auto()
    GUARD = auto()  # any other guard
    QUEUE_EMPTY = auto()  # the released actions ran out
    LOST = auto()  # joint states missing for long while holding
    UNVERIFIED = auto()  # not at rest at the end of the escalation
    DRIFTED = auto()  # the held arm left its hold
    LEASE_LOST = auto()
    RELEASED = auto()  # the deadman was let go
    JOIN_TOO_LARGE = auto()
    RESUME_TIMEOUT = auto()
    SHUTDOWN = auto()
    GIVE = auto()
    END = auto()
    TAKE = auto()
    RESET = auto()
    RESUME = auto()
    START = auto()
    REPEAT = auto()  # second step of the escalation
    SWITCH = auto()  # third step
    AT_REST = auto()  # measured at rest on the hold, and HALTED is where it leads
    REST_TO_TELEOP = auto()  # the same, with a takeover queued and granted
    REST_TO_IDLE = auto()  # the same, with the end of the episode queued
    JOINED = auto()  # acknowledged, first chunk released and near
    ARMED = auto()  # all guards held long enough, arm at rest


class Action(IntEnum):
    """What is done beside the change of state."""

    NONE = auto()
    BEGIN = auto()  # new episode, reset the policy
    RESET_POLICY = auto()  # same episode, reset the policy
    OPEN = auto()  # the gate passes the policy
    BRAKE = auto()  # capture the hold; HALTED follows
    BRAKE_FOR_TELEOP = auto()  # capture the hold; TELEOP follows if the device may take over
    BRAKE_FOR_END = auto()  # capture the hold; IDLE follows
    HOLD = auto()  # close the gate, keep the hold or capture one
    HOLD_ANEW = auto()  # capture a new hold where the arm is now
    LATCH = auto()  # HALTED follows, whatever was queued
    QUEUE_END = auto()  # IDLE follows
    SEND_HOLD = auto()  # send the hold at once
    SWITCH = auto()  # switch to the hold controller
    REST = auto()  # note the verified halt
    TAKE = auto()  # the gate passes the teleop device
    CLOSE_EPISODE = auto()
    LEAVE = auto()  # hold what moves, then exit


@dataclass(frozen=True)
class Row:
    """One transition."""

    source: State
    event: Event
    target: State
    action: Action


@dataclass(frozen=True)
class Occurrence:
    """An event with its reason in words, and the inference or the request that it is about."""

    event: Event
    text: str = ""
    key: Key = NO_KEY
    request: Request | None = None


_S, _E, _A = State, Event, Action
_STOPS = (_E.ESTOP, _E.HALT, _E.INTERNAL, _E.CLOCK_JUMP, _E.ROBOT_STALE, _E.FOREIGN_PUBLISHER)
_POLICY_STOPS = (_E.ALERT, _E.BAD_SCORE, _E.BAD_CHUNK)
_STARVES = (_E.MONITOR_STALE, _E.POLICY_STALE, _E.GUARD)

TABLE: tuple[Row, ...] = (
    Row(_S.UNKNOWN, _E.ARMED, _S.IDLE, _A.NONE),
    Row(_S.IDLE, _E.START, _S.RESUMING, _A.BEGIN),
    *(Row(_S.RESUMING, event, _S.HALTING, _A.BRAKE) for event in (*_POLICY_STOPS, *_STOPS)),
    *(Row(_S.RESUMING, event, _S.HALTED, _A.HOLD) for event in _STARVES),
    Row(_S.RESUMING, _E.HARDWARE, _S.FAULT, _A.HOLD),
    Row(_S.RESUMING, _E.JOIN_TOO_LARGE, _S.HALTED, _A.HOLD),
    Row(_S.RESUMING, _E.RESUME_TIMEOUT, _S.HALTED, _A.HOLD),
    Row(_S.RESUMING, _E.END, _S.HALTING, _A.BRAKE_FOR_END),
    Row(_S.RESUMING, _E.JOINED, _S.AUTONOMOUS, _A.OPEN),
    *(Row(_S.AUTONOMOUS, event, _S.HALTING, _A.BRAKE) for event in (*_POLICY_STOPS, *_STOPS, *_STARVES)),
    Row(_S.AUTONOMOUS, _E.HARDWARE, _S.FAULT, _A.HOLD),
    Row(_S.AUTONOMOUS, _E.QUEUE_EMPTY, _S.HALTING, _A.BRAKE),
    Row(_S.AUTONOMOUS, _E.TAKE, _S.HALTING, _A.BRAKE_FOR_TELEOP),
    Row(_S.AUTONOMOUS, _E.END, _S.HALTING, _A.BRAKE_FOR_END),
    *(Row(_S.TELEOP, event, _S.HALTING, _A.BRAKE) for event in (*_STOPS, _E.LEASE_LOST, _E.RELEASED, _E.GIVE)),
    Row(_S.TELEOP, _E.HARDWARE, _S.FAULT, _A.HOLD),
    Row(_S.TELEOP, _E.END, _S.HALTING, _A.BRAKE_FOR_END),
    *(Row(_S.HALTING, event, _S.HALTING, _A.LATCH) for event in (_E.ESTOP, _E.HALT, _E.INTERNAL, _E.GIVE)),
    Row(_S.HALTING, _E.END, _S.HALTING, _A.QUEUE_END),
    Row(_S.HALTING, _E.HARDWARE, _S.FAULT, _A.HOLD),
    Row(_S.HALTING, _E.LOST, _S.FAULT, _A.HOLD),
    Row(_S.HALTING, _E.UNVERIFIED, _S.FAULT, _A.HOLD),
    Row(_S.HALTING, _E.REPEAT, _S.HALTING, _A.SEND_HOLD),
    Row(_S.HALTING, _E.SWITCH, _S.HALTING, _A.SWITCH),
    Row(_S.HALTING, _E.AT_REST, _S.HALTED, _A.REST),
    Row(_S.HALTING, _E.REST_TO_TELEOP, _S.TELEOP, _A.TAKE),
    Row(_S.HALTING, _E.REST_TO_IDLE, _S.IDLE, _A.CLOSE_EPISODE),
    Row(_S.HALTED, _E.HARDWARE, _S.FAULT, _A.HOLD),
    Row(_S.HALTED, _E.LOST, _S.FAULT, _A.HOLD),
    Row(_S.HALTED, _E.DRIFTED, _S.FAULT, _A.HOLD),
    Row(_S.HALTED, _E.END, _S.IDLE, _A.CLOSE_EPISODE),
    Row(_S.HALTED, _E.TAKE, _S.TELEOP, _A.TAKE),
    Row(_S.HALTED, _E.RESUME, _S.RESUMING, _A.RESET_POLICY),
    Row(_S.FAULT, _E.RESET, _S.HALTED, _A.HOLD_ANEW),
    *(Row(state, _E.SHUTDOWN, _S.SHUTDOWN, _A.LEAVE) for state in State if state is not _S.SHUTDOWN),
)

_INDEX = {(row.source, row.event): row for row in TABLE}


def row_for(state: State, event: Event) -> Row | None:
    """The transition that an event makes in a state; None: it has no meaning there."""
    return _INDEX.get((state, event))


REASONS: dict[Event, Reason] = {
    _E.ALERT: Reason.ALERT,
    _E.BAD_SCORE: Reason.BAD_SCORE,
    _E.BAD_CHUNK: Reason.BAD_CHUNK,
    _E.ESTOP: Reason.ESTOP,
    _E.HALT: Reason.OPERATOR,
    _E.INTERNAL: Reason.INTERNAL,
    _E.HARDWARE: Reason.HARDWARE,
    _E.CLOCK_JUMP: Reason.CLOCK_JUMP,
    _E.ROBOT_STALE: Reason.ROBOT_STALE,
    _E.FOREIGN_PUBLISHER: Reason.FOREIGN_PUBLISHER,
    _E.MONITOR_STALE: Reason.MONITOR_STALE,
    _E.POLICY_STALE: Reason.POLICY_STALE,
    _E.GUARD: Reason.GUARD,
    _E.QUEUE_EMPTY: Reason.QUEUE_EMPTY,
    _E.LOST: Reason.ROBOT_STALE,
    _E.UNVERIFIED: Reason.HALT_UNVERIFIED,
    _E.DRIFTED: Reason.HALT_UNVERIFIED,
    _E.LEASE_LOST: Reason.LEASE_LOST,
    _E.RELEASED: Reason.TELEOP_RELEASED,
    _E.JOIN_TOO_LARGE: Reason.JOIN_TOO_LARGE,
    _E.RESUME_TIMEOUT: Reason.RESUME_TIMEOUT,
    _E.SHUTDOWN: Reason.SHUTDOWN,
    _E.GIVE: Reason.INTERVENTION,
    _E.TAKE: Reason.INTERVENTION,
    _E.REST_TO_TELEOP: Reason.INTERVENTION,
    _E.REST_TO_IDLE: Reason.EPISODE_END,
    _E.END: Reason.EPISODE_END,
}
"""Reason that an event gives to the state it leads to; none where it is not listed."""
KEEP_REASON = frozenset({_E.AT_REST, _E.RESET})
"""Events that lead to HALTED with the reason of the halt."""

ASKS_FOR_TAKEOVER = frozenset(
    {Reason.ALERT, Reason.BAD_SCORE, Reason.BAD_CHUNK, Reason.MONITOR_STALE, Reason.POLICY_STALE, Reason.QUEUE_EMPTY}
    | {Reason.GUARD, Reason.HALT_UNVERIFIED, Reason.ROBOT_STALE, Reason.HARDWARE, Reason.RESUME_TIMEOUT}
    | {Reason.JOIN_TOO_LARGE, Reason.INTERNAL, Reason.CLOCK_JUMP, Reason.FOREIGN_PUBLISHER}
)
"""Reasons of halts that nobody asked for: a person is called."""
