"""One client's conversation with the policy: what a request asks for, and the reply to it. No sockets here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from vla_policy.openpi_wire import INFERENCE, INTROSPECT, INTROSPECTION, POLICY, RESET
from vla_server.served import ServedPolicy
from vla_uq.errors import InputError

CLOCK = Callable[[], float]


def metadata(policy: ServedPolicy) -> dict[str, Any]:
    """What the server says first."""
    return {INTROSPECTION: list(policy.tensors), POLICY: policy.announcement.as_map()}


class Session:
    """Answers the requests of one connection, one at a time.

    :param policy: that answers.
    :param clock: steady, seconds; of the times in replies.
    """

    def __init__(self, policy: ServedPolicy, clock: CLOCK = time.monotonic) -> None:
        self._policy, self._clock = policy, clock
        self._count = 0
        self._memory: Any = None

    def answer(self, request: Mapping[Any, Any]) -> dict[str, Any]:
        """The reply to a request.

        :raises InputError: when the request is not one.
        """
        start = self._clock()
        observation = {name: value for name, value in request.items() if name not in (RESET, INTROSPECT)}
        reply: dict[str, Any] = {}
        if RESET in request:
            self._policy.reset(_seed(request[RESET]))
        if observation or not request:
            reply |= self._acted(observation, start)
        if INTROSPECT in request:
            reply[INTROSPECTION] = self._looked(request[INTROSPECT])
        return reply | {"server_timing": {"total_ms": 1e3 * (self._clock() - start)}}

    def _acted(self, observation: Mapping[Any, Any], start: float) -> dict[str, Any]:
        decision = self._policy.act(observation)
        self._memory, self._count = decision.memory, self._count + 1
        timing = {"infer_ms": 1e3 * (self._clock() - start)}
        return {**decision.reply, INFERENCE: self._count - 1, "policy_timing": timing}

    def _looked(self, want: Any) -> dict[str, Any]:
        offered = self._policy.tensors
        if not isinstance(want, Mapping):
            raise InputError("not a map", where=INTROSPECT, found=type(want).__name__)
        names, newest = want.get("tensors", list(offered)), self._count - 1
        if not (isinstance(names, list) and all(name in offered for name in names)):
            raise InputError("not offered", where=f"{INTROSPECT}.tensors", expected=", ".join(offered), found=names)
        if newest < 0:
            raise InputError("nothing to look into", where=INTROSPECT, expected="an observation first")
        if want.get("inference", newest) != newest:
            raise InputError(
                "not the newest inference",
                where=f"{INTROSPECT}.inference",
                expected=newest,
                found=repr(want["inference"])[:40],
            )
        return dict(self._policy.introspect(self._memory, names))


def _seed(want: Any) -> int | None:
    seed = want.get("seed") if isinstance(want, Mapping) else want
    if not isinstance(want, Mapping) or not (seed is None or (type(seed) is int and seed >= 0)):
        raise InputError("wrong reset", where=RESET, expected='{"seed": int or None}', found=repr(want)[:80])
    return seed
