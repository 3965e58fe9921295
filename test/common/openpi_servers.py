"""Policy servers of the tests, each on a thread with an event loop of its own: faithful ones, and faulty ones."""

from __future__ import annotations

import asyncio
import http
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from vla_policy.openpi_wire import pack, unpack
from vla_server.served import ServedPolicy
from vla_server.session import Session, metadata

HUGE = 2**30
"""Bytes of a frame that nobody should read."""


SLOW = 1.2
"""Seconds of an inference that was told to be slow."""


def trivial(observation: dict[Any, Any]) -> dict[str, Any]:
    """A policy: 10 actions that repeat the start of the state; the prompt may tell it to be slow or to fail."""
    if observation["prompt"] == "fail":
        raise ValueError("told to fail")
    if observation["prompt"] == "slow":
        time.sleep(SLOW)
    return {"actions": np.tile(np.asarray(observation["observation/state"][:7], np.float32), (10, 1))}


class Hosted:
    """A server while its ``with`` block runs, or from :meth:`start` to :meth:`stop`; it keeps its port.

    :param open: makes an asynchronous context manager that listens on a port (0: any).
    """

    def __init__(self, open: Callable[[int], AbstractAsyncContextManager[Any]]) -> None:
        self._open, self.port = open, 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def start(self) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(10), "the server does not start"

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    async def _run(self, ready: threading.Event) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with self._open(self.port) as server:
            sockets = getattr(server, "sockets", None)
            self.port = next(iter(sockets)).getsockname()[1] if sockets else server.port
            ready.set()
            await self._end.wait()

    def __enter__(self) -> Hosted:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Stock:
    """What openpi's own server was seen to do: metadata first, one blocking inference at a time in the event loop, so
    that nobody else is heard meanwhile; a traceback as text and close 1011 on any error.

    :param infer: the policy.
    """

    def __init__(self, infer: Callable[[dict[Any, Any]], dict[str, Any]], metadata: Mapping[str, Any]) -> None:
        self._infer, self._metadata = infer, metadata

    def __call__(self, port: int) -> AbstractAsyncContextManager[Any]:
        return serve(self._serve, "127.0.0.1", port, compression=None, max_size=None, process_request=self._health)

    async def _serve(self, connection: ServerConnection) -> None:
        await connection.send(pack(self._metadata))
        while True:
            try:
                answer = self._infer(unpack(bytes(await connection.recv(decode=False))))
                await connection.send(pack(answer | {"server_timing": {"infer_ms": 0.1}}))
            except ConnectionClosed:
                return
            except Exception:
                await connection.send(traceback.format_exc())
                await connection.close(1011, "Internal server error. Traceback included in previous frame.")
                return

    @staticmethod
    def _health(connection: ServerConnection, request: Any) -> Any:
        return connection.respond(http.HTTPStatus.OK, "OK\n") if request.path == "/healthz" else None


class Faulty:
    """A server that does to each request what ``fault`` says at that moment.

    :param policy: served by our protocol; without one, a stock server whose answers are numbered in their actions'
        first element.
    :param shape: of a stock server's actions.
    """

    def __init__(self, shape: tuple[int, int] = (10, 7), policy: ServedPolicy | None = None) -> None:
        self.fault, self.seconds, self.count = "", 0.4, 0
        self.metadata: dict[str, Any] = metadata(policy) if policy else {}
        self.requests: list[dict[Any, Any]] = []
        self._shape, self._policy = shape, policy

    def __call__(self, port: int) -> AbstractAsyncContextManager[Any]:
        return serve(self._serve, "127.0.0.1", port, compression=None, max_size=None, close_timeout=0.1)

    async def _serve(self, connection: ServerConnection) -> None:
        if self.fault == "silent":
            await connection.wait_closed()
        if self.fault == "unwelcome":
            await connection.send("another client is connected")
            await connection.close(1011)
            return
        try:
            await connection.send(pack(self.metadata))
            answer = Session(self._policy).answer if self._policy else self._numbered
            while True:
                self.requests.append(unpack(bytes(await connection.recv(decode=False))))
                self.count += 1
                await self._misbehave(connection)
                for _ in range(2 if self.fault == "twice" else 1):
                    await connection.send(pack(self._spoilt(answer(self.requests[-1]))))
        except ConnectionClosed:
            pass

    def _numbered(self, request: Mapping[Any, Any]) -> dict[str, Any]:
        actions = np.zeros(self._shape, np.float32)
        actions[0, 0] = self.count / 1000
        return {"actions": actions}

    async def _misbehave(self, connection: ServerConnection) -> None:
        """What happens before an answer; where none follows, the connection ends."""
        if self.fault == "hang":
            await connection.wait_closed()
        elif self.fault == "late":
            await asyncio.sleep(self.seconds)
        elif self.fault == "die":
            connection.transport.abort()
        elif self.fault == "garbage":
            await connection.send(b"\xc1 no msgpack")
            await connection.wait_closed()
        elif self.fault == "traceback":
            await connection.send("Traceback (most recent call last):\n  File \"x.py\"\nKeyError: 'prompt'\n")
            await connection.close(1011, "Internal server error. Traceback included in previous frame.")
        elif self.fault == "huge":
            # The header of a frame alone: whoever makes room for it has lost already.
            connection.transport.write(b"\x82\x7f" + HUGE.to_bytes(8, "big") + bytes(1000))
            await connection.wait_closed()

    def _spoilt(self, content: dict[str, Any]) -> dict[str, Any]:
        if "actions" not in content or self.fault not in SPOILT:
            return content
        return content | {"actions": SPOILT[self.fault](np.array(content["actions"]))}


def _with_nan(actions: Any) -> Any:
    actions[3, 2] = np.nan
    return actions


SPOILT: dict[str, Callable[[Any], Any]] = {
    "nan": _with_nan,
    "shape": lambda actions: actions[:, :-1],
    "shorter": lambda actions: actions[1:],
    "text": lambda actions: "none",
    "empty": lambda actions: None,
}
"""Fault to what becomes of an answer's actions."""
