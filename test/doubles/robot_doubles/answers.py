"""Services that can be told not to answer, to answer late, or to answer that it did not work."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future

STEADY = Clock(clock_type=ClockType.STEADY_TIME)
Handler = Callable[[Any, Any], Any]


def after(node: Node, seconds: float) -> Future:
    """A future that is done in so many seconds of the steady clock; ``math.inf``: never."""
    future = Future()
    if math.isfinite(seconds):

        def ring() -> None:
            timer.cancel()
            node.destroy_timer(timer)
            future.set_result(None)

        timer = node.create_timer(seconds, ring, clock=STEADY)
    return future


class Answers:
    """How one service behaves. All of it may be changed at any time.

    :param node: that serves.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self.delay = 0.0
        """Seconds from the request's effect to its answer; ``math.inf``: it never answers."""
        self.fails = False
        """The request has no effect, and the answer says so where the type can (``ok``)."""
        self.requests: list[Any] = []
        """All requests so far."""

    def serve(self, service_type: Any, name: str, handle: Handler) -> None:
        """Create the service.

        :param handle: request, response → response; not called while the service fails.
        """
        group = ReentrantCallbackGroup()  # an answer that waits must not keep the node's other callbacks waiting
        self._node.create_service(service_type, name, self._behave(handle), callback_group=group)

    def _behave(self, handle: Handler) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(request: Any, response: Any) -> Any:
            self.requests.append(request)
            if not self.fails:
                response = handle(request, response)
            if self.delay > 0:
                await after(self._node, self.delay)
            return response

        return answer
