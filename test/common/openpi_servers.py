"""Policy servers of the tests, each on a thread with an event loop of its own: faithful ones, and faulty ones."""

from __future__ import annotations

import asyncio
import http
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from vla_policy.openpi_wire import pack, unpack

HUGE = 2**30
"""Bytes of a frame that nobody should read."""


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
    """A stock server that does to each request what ``fault`` says at that moment; answers are numbered in their
    actions' first element.

    :param shape: of its actions.
    """

    def __init__(self, shape: tuple[int, int] = (10, 7)) -> None:
        self.fault, self.seconds, self.count = "", 0.4, 0
        self.metadata: dict[str, Any] = {}
        self.requests: list[dict[Any, Any]] = []
        self.headers: list[Any] = []
        self._shape = shape

    def __call__(self, port: int) -> AbstractAsyncContextManager[Any]:
        return serve(self._serve, "127.0.0.1", port, compression=None, max_size=None, close_timeout=0.1)

    async def _serve(self, connection: ServerConnection) -> None:
        self.headers.append(connection.request.headers if connection.request else {})
        if self.fault == "silent":
            await connection.wait_closed()
        if self.fault == "unwelcome":
            await connection.send("another client is connected")
            await connection.close(1011)
            return
        await connection.send(pack(self.metadata))
        try:
            while True:
                self.requests.append(unpack(bytes(await connection.recv(decode=False))))
                await self._answer(connection)
        except ConnectionClosed:
            pass

    async def _answer(self, connection: ServerConnection) -> None:
        fault, actions = self.fault, np.zeros(self._shape, np.float32)
        actions[0, 0] = self.count / 1000
        self.count += 1
        if fault == "hang":
            await connection.wait_closed()
        if fault == "late":
            await asyncio.sleep(self.seconds)
        if fault == "die":
            connection.transport.abort()
            return
        if fault == "garbage":
            await connection.send(b"\xc1 no msgpack")
            return
        if fault == "traceback":
            await connection.send("Traceback (most recent call last):\n  File \"x.py\"\nKeyError: 'prompt'\n")
            await connection.close(1011, "Internal server error. Traceback included in previous frame.")
            return
        if fault == "huge":
            # The header of a frame alone: whoever makes room for it has lost already.
            connection.transport.write(b"\x82\x7f" + HUGE.to_bytes(8, "big") + bytes(1000))
            await connection.wait_closed()
        if fault == "nan":
            actions[3, 2] = np.nan
        content: dict[str, Any] = {
            "shape": {"actions": actions[:, :-1]},
            "shorter": {"actions": actions[1:]},
            "text": {"actions": "none"},
            "empty": {},
        }.get(fault, {"actions": actions})
        for _ in range(2 if fault == "twice" else 1):
            await connection.send(pack(content))
