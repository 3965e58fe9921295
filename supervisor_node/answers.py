"""Services that answer later: an answer of the supervisor is true, so it may have to wait until the arm rests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervisor_node.values import Reply, Request, Wish


class LaterService:
    """A service whose response is sent by :meth:`answer`, at once or after its callback has returned.

    A coroutine as a callback would do the same under rclpy's plain executors, but not under the events executor,
    which hands the coroutine to ``send_response``. That method is where both send, so it is what waits here.

    :param node: the ROS node.
    :param called: gets the request and the response, which is the handle to answer with.
    """

    def __init__(self, node: Any, kind: Any, name: str, called: Callable[[Any, Any], None]) -> None:
        self._called = called
        self._service = node.create_service(kind, name, self._on_request)
        self._send = self._service.send_response
        self._service.send_response = self._on_response
        self._waiting: list[Any] = []
        self._headers: dict[int, Any] = {}

    @property
    def service(self) -> Any:
        """The service itself, to destroy it."""
        return self._service

    def answer(self, response: Any) -> None:
        """The response is complete."""
        self._waiting = [one for one in self._waiting if one is not response]
        header = self._headers.pop(id(response), None)
        if header is not None:
            self._send(response, header)

    def _on_request(self, request: Any, response: Any) -> Any:
        self._waiting.append(response)
        self._called(request, response)
        return response

    def _on_response(self, response: Any, header: Any) -> None:
        if any(one is response for one in self._waiting):
            self._headers[id(response)] = header
        else:
            self._send(response, header)


class Front:
    """The supervisor's services: requests in, replies out in their own time.

    :param ask: takes a request; its reply comes back through :meth:`reply`.
    """

    def __init__(self, node: Any, ask: Callable[[Request], None]) -> None:
        self._node, self._ask = node, ask
        self._count = 0
        self._open: dict[int, tuple[LaterService, Any]] = {}
        self._services: list[LaterService] = []

    def offer(self, kind: Any, name: str, wish_of: Callable[[Any], tuple[Wish, dict[str, Any]]]) -> None:
        """Offer a service.

        :param wish_of: from its request to a wish and the further fields of :class:`Request`; raises ValueError.
        """

        def called(question: Any, response: Any) -> None:
            self._count += 1
            self._open[self._count] = (later, response)
            try:
                wish, details = wish_of(question)
            except ValueError as error:
                self.reply(Reply(self._count, False, str(error)))
            else:
                self._ask(Request(self._count, wish, **details))

        later = LaterService(self._node, kind, f"~/{name}", called)
        self._services.append(later)

    def reply(self, reply: Reply) -> None:
        """Answer a request."""
        if reply.id not in self._open:
            return
        later, response = self._open.pop(reply.id)
        setattr(response, "ok" if hasattr(response, "ok") else "success", reply.ok)
        response.message = reply.message
        if hasattr(response, "episode_id"):
            response.episode_id = reply.episode_id
        later.answer(response)

    def close(self) -> None:
        """Remove the services."""
        for later in self._services:
            self._node.destroy_service(later.service)
