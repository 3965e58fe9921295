"""The call that makes the policy begin anew, without waiting for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vla_monitor.srv import ResetPolicy

from supervisor_node.values import ResetAck, ResetOrder


class PolicyReset:
    """Calls ``reset_policy``; only the answer to the newest call counts.

    :param client: of the service.
    :param answered: takes the answer; a policy that is not there has answered no.
    """

    def __init__(self, client: Any, answered: Callable[[ResetAck], None]) -> None:
        self._client, self._answered = client, answered
        self._count = 0

    def call(self, order: ResetOrder) -> None:
        """Ask for a reset."""
        self._count += 1
        if not self._client.service_is_ready():
            self._answered(ResetAck(False, f"nobody offers {self._client.srv_name}"))
            return
        request = ResetPolicy.Request(episode_id=order.episode_id, instruction=order.instruction)
        number = self._count
        self._client.call_async(request).add_done_callback(lambda future: self._on_answer(number, future.result()))

    def _on_answer(self, number: int, answer: Any) -> None:
        if number == self._count:
            run_id = bytes(bytearray(answer.run_id))
            self._answered(ResetAck(answer.ok, answer.message, run_id, answer.first_sequence))
