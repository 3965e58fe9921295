"""The websocket in front of a policy: one client at a time, and an event loop that never waits for the policy.

Inference runs in a thread of its own, so that pings and ``/healthz`` are answered meanwhile. A policy remembers the
episode, so that a second client would spoil it for the first: it is turned away, with the reason. A client that is
gone without a word is noticed by its missing pongs.
"""

from __future__ import annotations

import asyncio
import hmac
import http
import logging
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from vla_policy.openpi_wire import INTERNAL_ERROR, MAX_MESSAGE, PORT, pack, unpack
from vla_server.served import ServedPolicy
from vla_server.session import Session, metadata
from vla_uq.errors import InputError

LOG = logging.getLogger(__name__)
PING = 5.0
"""Seconds between pings, and those that a pong may take."""
BUSY = "another client is connected; this policy serves one at a time"


class PolicyServer:
    """Serves while its ``async with`` block runs.

    :param policy: called by one thread of the server's own.
    :param host: address to listen on.
    :param port: 0: any that is free.
    :param api_key: what clients must know; empty: nothing.
    :param max_message: bytes of the largest request that is read; more closes the connection, 1009.
    :raises InputError: on entering, when the address cannot be listened on.
    """

    def __init__(
        self,
        policy: ServedPolicy,
        host: str = "127.0.0.1",
        port: int = PORT,
        api_key: str = "",
        max_message: int = MAX_MESSAGE,
    ) -> None:
        self._policy, self._host, self._port = policy, host, port
        self._api_key, self._max_message = api_key, max_message
        self._metadata = pack(metadata(policy))
        self._thread = ThreadPoolExecutor(1, "policy")
        self._busy = False
        self._server: Server

    async def __aenter__(self) -> PolicyServer:
        try:
            self._server = await serve(
                self._serve,
                self._host,
                self._port,
                process_request=self._admit,
                compression=None,
                max_size=self._max_message,
                ping_interval=PING,
                ping_timeout=PING,
            )
        except OSError as error:
            where = f"{self._host}:{self._port}"
            raise InputError("cannot be listened on", where=where, found=error.strerror or str(error)) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        await self._server.wait_closed()
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(next(iter(self._server.sockets)).getsockname()[1])

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer what is no websocket, and what does not know the key."""
        if request.path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        given = request.headers.get("Authorization", "")
        if self._api_key and not hmac.compare_digest(given.encode(), f"Api-Key {self._api_key}".encode()):
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "wrong or missing API key\n")
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        if self._busy:
            await self._refuse(connection, BUSY)
            return
        self._busy = True
        try:
            await connection.send(self._metadata)
            session = Session(self._policy)
            async for message in connection:
                await connection.send(await self._reply(session, message))
        except ConnectionClosed:
            pass  # nobody is left to be told
        except InputError as error:
            await self._refuse(connection, str(error))
        except Exception as error:
            LOG.exception("inference failed")
            await self._refuse(connection, f"inference failed: {type(error).__name__}: {error}")
        finally:
            self._busy = False

    async def _reply(self, session: Session, message: str | bytes) -> bytes:
        if isinstance(message, str):
            raise InputError("not a binary message", where="request", found="text")
        return await asyncio.get_running_loop().run_in_executor(self._thread, _answered, session, message)

    @staticmethod
    async def _refuse(connection: ServerConnection, reason: str) -> None:
        try:
            await connection.send(" ".join(reason.split()))
            await connection.close(INTERNAL_ERROR, "error")
        except ConnectionClosed:
            pass


def _answered(session: Session, message: Any) -> bytes:
    return pack(session.answer(unpack(message)))
