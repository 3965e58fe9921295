"""The transition table: data. From, event, to, action; the first row that fits is taken.

Events are listed in the order in which they are looked at, so that what stops the arm beats everything else that
happened in the same step. The guard behind each event stands where the event is raised and says why in its text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from supervisor_node.states import Reason, State
from supervisor_node.values import NO_KEY, Request
from vla_uq.contracts import Key

if TYPE_CHECKING:
    from typing_extensions import Self


class Told(IntEnum):
    """Numbered in the order of definition; ``text`` says what a member means."""

    text: str

    def __new__(cls, text: str) -> Self:
        """Make the next member."""
        member = int.__new__(cls, len(cls.__members__) + 1)
        member._value_, member.text = int(member), text
        return member


class Event(Told):
    """What can make the state change, most urgent first."""

    FROZEN_CAMERA = "an alarm because a camera shows the same picture while the arm moves"
    ALERT = "a score does not pass"
    BAD_SCORE = "a score is not finite, malformed, or of another chunk"
    BAD_CHUNK = "a chunk is malformed or out of limits"
    ESTOP = "the e-stop input is pressed, or silent where one is wired"
    HALT = "an operator's halt: the service, or the halt button while it is pressed"
    INTERNAL = "an error of the supervisor itself, or its control tick came late"
    HARDWARE = "the arm's driver reports an error"
    CLOCK_JUMP = "a clock jumped back"
    ROBOT_STALE = "joint states or pose missing, old or not finite"
    FOREIGN_PUBLISHER = "somebody else commands the robot, or two processes play one part"
    MONITOR_STALE = "the monitor's announcements or scores are missing"
    POLICY_STALE = "the policy's announcements are missing, or it refused its reset"
    GUARD = "any other guard does not hold"
    QUEUE_EMPTY = "the released actions ran out"
    LOST = "joint states missing for long while holding"
    UNVERIFIED = "not measured at rest at the end of the escalation"
    DRIFTED = "the held arm left its hold"
    LEASE_LOST = "the teleop device fell silent"
    RELEASED = "the teleop device's deadman was let go"
    JOIN_TOO_LARGE = "the policy's first action is too far from the arm"
    RESUME_TIMEOUT = "no scored chunk in time after the reset of the policy"
    SHUTDOWN = "the process is asked to end"
    GIVE = "an operator gives control back"
    END = "an operator ends the episode"
    BLEND = "an operator takes over without a stop: allowed by parameter, the device's pose is near"
    TAKE = "an operator takes over"
    RECOVER = "an operator asks for the recovery of the robot"
    RESET = "an operator resets the fault"
    RESUME = "an operator resumes the policy"
    START = "an operator starts an episode"
    REPEAT = "still not at rest: second step of the escalation"
    SWITCH = "still not at rest: third step, where a hold controller is configured"
    AT_REST = "measured at rest on the hold"
    REST_TO_TELEOP = "measured at rest on the hold, with a takeover queued and granted"
    REST_TO_IDLE = "measured at rest on the hold, with the end of the episode queued"
    JOINED = "reset acknowledged, first scored chunk released and near the arm"
    ARMED = "all guards have held for long enough, the arm at rest"


class Action(Told):
    """What is done beside the change of state."""

    NONE = "nothing"
    BEGIN = "begin a new episode, reset the policy"
    RESET_POLICY = "reset the policy in the same episode"
    OPEN = "open the gate to the policy"
    BRAKE = "close the gate, capture the hold; HALTED follows"
    BRAKE_FOR_TELEOP = "close the gate, capture the hold; TELEOP follows if the device may take over"
    BRAKE_FOR_END = "close the gate, capture the hold; IDLE follows"
    HOLD = "close the gate, keep the hold or capture one"
    HOLD_ANEW = "capture a new hold where the arm is now"
    LATCH = "HALTED follows, whatever was queued"
    QUEUE_END = "IDLE follows"
    SEND_HOLD = "cancel every goal of the arm, send the same hold again"
    SWITCH = "switch to the hold controller, once"
    REST = "note the verified halt and its time"
    TAKE = "open the gate to the teleop device"
    BLEND = "close the gate to the policy, open it to the teleop device"
    CLOSE_EPISODE = "label and close the episode"
    RECOVER = "ask the arm's driver for its recovery"
    LEAVE = "hold what moves, then exit"


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
ALARMS = (_E.FROZEN_CAMERA, _E.ALERT, _E.BAD_SCORE)
"""Events that a score makes; in shadow mode they are noted and halt nothing."""
_STOPS = (_E.ESTOP, _E.HALT, _E.INTERNAL, _E.CLOCK_JUMP, _E.ROBOT_STALE, _E.FOREIGN_PUBLISHER)
_POLICY_STOPS = (*ALARMS, _E.BAD_CHUNK)
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
    Row(_S.AUTONOMOUS, _E.BLEND, _S.TELEOP, _A.BLEND),
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
    *(Row(state, _E.RECOVER, state, _A.RECOVER) for state in (_S.UNKNOWN, _S.IDLE, _S.HALTED, _S.FAULT)),
    *(Row(state, _E.SHUTDOWN, _S.SHUTDOWN, _A.LEAVE) for state in State if state is not _S.SHUTDOWN),
)

_INDEX = {(row.source, row.event): row for row in TABLE}


def row_for(state: State, event: Event) -> Row | None:
    """The transition that an event makes in a state; None: it has no meaning there."""
    return _INDEX.get((state, event))


REASONS: dict[Event, Reason] = {
    _E.FROZEN_CAMERA: Reason.FROZEN_CAMERA,
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
    _E.BLEND: Reason.INTERVENTION,
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
    | {Reason.JOIN_TOO_LARGE, Reason.INTERNAL, Reason.CLOCK_JUMP, Reason.FOREIGN_PUBLISHER, Reason.FROZEN_CAMERA}
)
"""Reasons of halts that nobody asked for: a person is called."""
