"""Operators' requests: granted as an event, agreed to because it is so already, or refused with the reason."""

from __future__ import annotations

from supervisor_node.conditions import robot_refused, teleop_refused
from supervisor_node.memory import Memory
from supervisor_node.states import State
from supervisor_node.table import Event, Occurrence, row_for
from supervisor_node.values import Request, Wish

EVENTS = {
    Wish.START: Event.START,
    Wish.END: Event.END,
    Wish.HALT: Event.HALT,
    Wish.RESUME: Event.RESUME,
    Wish.RESET: Event.RESET,
    Wish.RECOVER: Event.RECOVER,
    Wish.TAKE: Event.TAKE,
    Wish.GIVE: Event.GIVE,
}
_TEXTS = {
    Wish.HALT: "an operator asked for a halt",
    Wish.TAKE: "an operator takes over",
    Wish.GIVE: "control given back",
    Wish.END: "episode ended",
}


def admit(m: Memory, request: Request) -> Occurrence | None:
    """The event that a request makes; None when it was answered at once."""
    already = _already(m, request.wish)
    if already:
        m.desk.agree(request, already)
        return None
    event = Event.BLEND if _blends(m, request.wish) else EVENTS[request.wish]
    # Judged in the state in which it was asked: what comes of other requests in the same step must not open it a way.
    refused = _refusal(m, request) or ("" if row_for(m.state, event) else meaningless(m, request))
    if refused:
        m.desk.refuse(request, refused)
        return None
    return Occurrence(event, request.note or _TEXTS.get(request.wish, ""), request=request)


def meaningless(m: Memory, request: Request) -> str:
    """That the state has no transition for a request."""
    why = f"{request.wish.value} has no meaning in {m.state.name}"
    return f"{why}: {m.text}" if m.text else why


def _blends(m: Memory, wish: Wish) -> bool:
    """A takeover without a stop: allowed, and the device would be granted control of an arm at rest."""
    wanted = wish is Wish.TAKE and m.state is State.AUTONOMOUS and m.config.takeover_blend
    return wanted and not teleop_refused(m)


def _already(m: Memory, wish: Wish) -> str:
    """Why nothing has to be done, or ""."""
    if wish is Wish.HALT and m.state is State.HALTED:
        return "halted already, at rest"
    if wish is Wish.HALT and m.state in (State.UNKNOWN, State.IDLE) and m.senses.still(m.now):
        return f"{m.state.name}: nothing is sent, and the arm is at rest"
    if wish is Wish.TAKE and m.state is State.TELEOP:
        return "the teleop device is in control already"
    if wish is Wish.GIVE and m.state is State.HALTED:
        return "nobody is in control"
    return ""


def _refusal(m: Memory, request: Request) -> str:
    """Why a request that the state has a transition for cannot be granted, or ""."""
    wish = request.wish
    if wish is Wish.RECOVER:
        return _recover(m)
    if wish is Wish.HALT and m.state in (State.UNKNOWN, State.IDLE):
        return f"{m.state.name}: nothing is sent from here, but the arm is not seen at rest: {m.senses.unrest(m.now)}"
    if wish is Wish.START and m.state is State.IDLE:
        return str(m.failing[0]) if m.failing else ""
    if wish is Wish.TAKE and m.state is State.HALTED:
        return teleop_refused(m)
    if wish is Wish.RESUME and m.state is State.HALTED:
        return _resume(m)
    if wish is Wish.RESET and m.state is State.FAULT:
        return robot_refused(m) or m.senses.unrest(m.now)
    return ""


def _recover(m: Memory) -> str:
    if m.recover_until is not None:
        return "a recovery is under way"
    at_rest = m.state in (State.UNKNOWN, State.IDLE, State.HALTED)
    needed = m.state is State.FAULT or (at_rest and bool(m.senses.adapter or m.senses.hardware))
    return "" if needed else f"nothing to recover in {m.state.name}"


def _resume(m: Memory) -> str:
    if m.episode is None:
        return "there is no episode to resume: end it and start a new one"
    if m.failing:
        return str(m.failing[0])
    if m.now - m.entered_at < m.config.resume_cooldown:
        return f"wait {m.config.resume_cooldown:g} s after a halt"
    if m.episode.resumes >= m.config.max_resumes:
        return f"this episode was resumed {m.episode.resumes} times already, at most {m.config.max_resumes}: end it"
    return ""
