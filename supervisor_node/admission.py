"""Operators' requests: granted as an event, agreed to because it is so already, or refused with the reason."""

from __future__ import annotations

from supervisor_node.conditions import teleop_refused
from supervisor_node.guards import OF_THE_ROBOT
from supervisor_node.memory import Memory
from supervisor_node.states import State
from supervisor_node.table import Event, Occurrence
from supervisor_node.values import Request, Wish

EVENTS = {
    Wish.START: Event.START,
    Wish.END: Event.END,
    Wish.HALT: Event.HALT,
    Wish.RESUME: Event.RESUME,
    Wish.RESET: Event.RESET,
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
    refused = _refusal(m, request)
    if refused:
        m.desk.refuse(request, refused)
        return None
    return Occurrence(EVENTS[request.wish], request.note or _TEXTS.get(request.wish, ""), request=request)


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
    """Why a request cannot be granted, or "". What a state has no transition for is refused after the step."""
    wish = request.wish
    if wish is Wish.RECOVER:
        return "this arm has no recovery by software: clear its error by hand, then reset"
    if wish is Wish.HALT and m.state in (State.UNKNOWN, State.IDLE):
        return f"{m.state.name}: nothing is sent from here, but the arm is not seen at rest"
    if wish is Wish.START and m.state is State.IDLE and m.failing:
        return str(m.failing[0])
    if wish is Wish.TAKE and m.state is State.HALTED:
        return _robot(m) or teleop_refused(m)
    if wish is Wish.RESUME and m.state is State.HALTED:
        return _resume(m)
    if wish is Wish.RESET and m.state is State.FAULT:
        return _robot(m) or ("" if m.senses.still(m.now) else "the arm is not at rest")
    return ""


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


def _robot(m: Memory) -> str:
    return next((str(failure) for failure in m.failing if failure.name in OF_THE_ROBOT), "")
