"""Whether a supervisor armed again by itself, from the states that it announced. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from supervisor_node.states import MOVING, State

_ARMED = MOVING | {State.RESUMING}


def rearmed(states: Iterable[int]) -> int:
    """How often the arm was given to somebody again without a request.

    :param states: announced from a signal on, of the old process and of the new one, up to the next request.
    """
    count, left = 0, False
    for state in map(State, states):
        count += left and state in _ARMED
        left = state not in _ARMED
    return count
