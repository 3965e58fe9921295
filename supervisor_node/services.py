"""The services that operators call: name, type, and what is wished with it.

Where a tool knows standard types only, ``~/std/start_episode`` and ``~/std/end_episode`` do what rosetta's services of
those names do: start what was started last, and end with success (true) or failure (false).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from std_srvs.srv import SetBool, Trigger
from vla_monitor.srv import EndEpisode, StartEpisode

from supervisor_node.answers import Front
from supervisor_node.states import Label
from supervisor_node.values import Wish

Asked = tuple[Wish, dict[str, Any]]
_TRIGGERS = (Wish.HALT, Wish.RESUME, Wish.RESET, Wish.RECOVER)


def offer_services(front: Front) -> None:
    """Offer all of them."""
    started: list[str] = []

    def start(question: Any) -> Asked:
        started[:] = [str(question.instruction)]
        return Wish.START, {"instruction": started[0]}

    def start_again(question: Any) -> Asked:
        if not started:
            raise ValueError("nothing was started yet: the instruction is not known, call start_episode first")
        return Wish.START, {"instruction": started[0]}

    def end_as(question: Any) -> Asked:
        return Wish.END, {"label": Label.SUCCESS if question.data else Label.FAILURE}

    front.offer(StartEpisode, "start_episode", start)
    front.offer(EndEpisode, "end_episode", lambda q: (Wish.END, {"label": Label(q.label), "note": q.note}))
    front.offer(Trigger, "cancel_episode", lambda q: (Wish.END, {"label": Label.DISCARD}))
    front.offer(SetBool, "set_intervention", lambda q: (Wish.TAKE if q.data else Wish.GIVE, {}))
    for wish in _TRIGGERS:
        front.offer(Trigger, wish.value, _just(wish))
    front.offer(Trigger, "std/start_episode", start_again)
    front.offer(SetBool, "std/end_episode", end_as)


def _just(wish: Wish) -> Callable[[Any], Asked]:
    return lambda question: (wish, {})
