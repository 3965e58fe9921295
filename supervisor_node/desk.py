"""Where operators' requests wait for their answers: an answer is true, so it may have to wait for the arm."""

from __future__ import annotations

from supervisor_node.states import State
from supervisor_node.values import Reply, Request, Wish

GOALS = {
    Wish.START: State.RESUMING,
    Wish.END: State.IDLE,
    Wish.HALT: State.HALTED,
    Wish.RESUME: State.AUTONOMOUS,
    Wish.RESET: State.HALTED,
    Wish.TAKE: State.TELEOP,
    Wish.GIVE: State.HALTED,
}
"""State that must be reached before a granted wish is answered with yes; a recovery is answered by the arm's driver."""
_ENDS = (State.IDLE, State.HALTED, State.FAULT, State.SHUTDOWN)


class Desk:
    """Requests that were granted and are not answered yet, and answers to hand out."""

    def __init__(self) -> None:
        self._open: list[Request] = []
        self._replies: list[Reply] = []

    def refuse(self, request: Request, why: str) -> None:
        """Answer with no, at once."""
        self._replies.append(Reply(request.id, False, why))

    def agree(self, request: Request, message: str) -> None:
        """Answer with yes, at once: what was asked for is so already."""
        self._replies.append(Reply(request.id, True, message))

    def grant(self, request: Request) -> None:
        """Answer when the state that was asked for is reached, or another end."""
        self._open.append(request)

    def entered(self, state: State, text: str, episode_id: str) -> None:
        """Answer everything that this state decides."""
        still_open = []
        for request in self._open:
            if GOALS.get(request.wish) is state:
                self._replies.append(Reply(request.id, True, text, episode_id))
            elif state in _ENDS:
                why = f"{state.name}: {text}" if text else state.name
                self._replies.append(Reply(request.id, False, why, episode_id))
            else:
                still_open.append(request)
        self._open = still_open

    def decide(self, wish: Wish, ok: bool, message: str, episode_id: str) -> None:
        """Answer every open request for this wish: what came of it is known."""
        decided = [request for request in self._open if request.wish is wish]
        self._open = [request for request in self._open if request.wish is not wish]
        self._replies += [Reply(request.id, ok, message, episode_id) for request in decided]

    def take_replies(self) -> tuple[Reply, ...]:
        """Answers made since the last call."""
        replies, self._replies = tuple(self._replies), []
        return replies
