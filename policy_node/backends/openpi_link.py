"""A connection to a policy server on which nothing waits for ever, and no answer is taken for another's.

An answer that is not there in time ends the connection: if it came later, it would look like the answer to the next
observation. Who asks again opens another connection, after a pause that grows while nothing works.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.sync.client import ClientConnection, connect

from policy_node.backends.base import BackendError
from vla_policy.openpi_wire import MAX_MESSAGE, pack, unpack
from vla_uq.errors import InputError

TOO_BIG = 1009
LATE = "no answer in time, connection dropped"
SHORTEST, LONGEST = 0.1, 5.0
"""Pauses (s) after a first failure and after many."""
WORDS = 300
"""Characters of a server's complaint that people are shown."""


class RefusedError(BackendError):
    """Asking the same server again is of no use."""


class Link:
    """Opens a connection when something is asked for and there is none.

    :param url: of the server.
    :param key: that it is shown; empty: none.
    :param greeted: called with the metadata of every new connection, and with its bytes; what it raises ends it.
    :param limit: bytes of the largest message that is read; the connection ends before more than that is held.
    """

    def __init__(
        self,
        url: str,
        key: str,
        greeted: Callable[[Mapping[Any, Any], bytes], None],
        limit: int = MAX_MESSAGE,
    ) -> None:
        self._url, self._greeted, self._limit = url, greeted, limit
        self._headers = {"Authorization": f"Api-Key {key}"} if key else None
        self._connection: ClientConnection | None = None
        self._closed = False
        self._next, self._again, self._trouble = SHORTEST, 0.0, ""

    @property
    def open(self) -> bool:
        """Whether there is a connection, as far as one knows."""
        return self._connection is not None

    @property
    def pause(self) -> float:
        """Seconds until it is of use to connect again, after a failure."""
        return max(self._again - time.monotonic(), 0.0)

    def connect(self, patience: float) -> None:
        """Open a connection if there is none.

        :param patience: seconds that it may take.
        :raises RefusedError: when the server does not want this client, or is not what it should be.
        :raises BackendError: when there is none then, or the pause after the last failure is not over.
        """
        if self.open:
            return
        if self.pause:
            raise BackendError(f"{self._trouble}; tried again in {self.pause:.1f} s")
        try:
            self._connect(patience)
        except BackendError as error:
            self._failed(error)
            raise

    def ask(self, request: Mapping[str, Any], patience: float) -> dict[Any, Any]:
        """Send a request and read its answer, over the connection that is open.

        :param patience: seconds that both may take together.
        :raises BackendError: when there is no answer; the connection is gone then.
        :raises InputError: when the request cannot be sent.
        """
        message, connection = pack(request), self._connection
        if connection is None:
            raise BackendError(f"{self._url}: not connected")
        try:
            answer = unpack(self._exchange(connection, message, patience))
        except (BackendError, InputError) as error:
            self.drop()
            told = error if isinstance(error, BackendError) else BackendError(f"{self._url}: the answer is {error}")
            self._failed(told)
            raise told from error
        self._next = SHORTEST
        return answer

    def drop(self) -> None:
        """End the connection at once, without farewell: a server that hangs would not answer that either."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _cut(connection)

    def close(self) -> None:
        """End everything, a call that waits as well; may come from another thread."""
        self._closed = True
        self.drop()

    def _failed(self, error: BackendError) -> None:
        self._trouble, self._again = str(error), time.monotonic() + self._next
        self._next = min(2 * self._next, LONGEST)

    def _connect(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        try:
            # The server's answers are awaited, not its pongs: one that computes may answer neither for a while. A
            # proxy is for the world outside, and compression would let a small message become a large one.
            opening = connect(
                self._url,
                additional_headers=self._headers,
                compression=None,
                proxy=None,
                max_size=self._limit,
                max_queue=1,
                open_timeout=patience,
                ping_interval=None,
            )
            # Never left again: leaving waits for the server's farewell.
            connection = ExitStack().enter_context(opening)
        except InvalidURI as error:
            raise RefusedError(f"{self._url}: not a websocket address: {error}") from error
        except InvalidStatus as error:
            raise RefusedError(f"{self._url}: no connection: {_status(error)}") from error
        except TimeoutError as error:
            raise BackendError(f"{self._url}: no connection within {patience:.1f} s") from error
        except (OSError, InvalidHandshake) as error:
            raise BackendError(f"{self._url}: no connection: {error}") from error
        self._connection = connection
        try:
            if self._closed:
                raise BackendError(f"{self._url}: closed")
            greeting = self._received(connection, deadline)
            self._greeted(unpack(greeting), greeting)
        except BackendError:
            self.drop()
            raise
        except InputError as error:
            self.drop()
            raise RefusedError(f"{self._url}: {error}") from error

    def _exchange(self, connection: ClientConnection, message: bytes, patience: float) -> bytes:
        """:raises BackendError: when there is no answer in time, or there was a second one to the question before."""
        deadline = time.monotonic() + patience
        # Sending knows no time limit of its own: it waits where the server's buffers are full.
        watchdog = threading.Timer(patience, _cut, (connection,))
        watchdog.start()
        try:
            try:
                connection.recv(timeout=0)
            except TimeoutError:
                connection.send(message)
                return self._received(connection, deadline)
        except ConnectionClosed as error:
            raise self._gone(error, deadline) from error
        finally:
            watchdog.cancel()
        raise BackendError(f"{self._url}: the server spoke without being asked")

    def _received(self, connection: ClientConnection, deadline: float) -> bytes:
        try:
            message = connection.recv(timeout=deadline - time.monotonic())
        except TimeoutError as error:
            raise BackendError(f"{self._url}: {LATE}") from error
        except ConnectionClosed as error:
            raise self._gone(error, deadline) from error
        if isinstance(message, str):
            lines = message.strip().splitlines() or [""]
            raise BackendError(f"{self._url}: the server says: {lines[-1][:WORDS]}")
        return message

    def _gone(self, error: ConnectionClosed, deadline: float) -> BackendError:
        if time.monotonic() >= deadline:
            return BackendError(f"{self._url}: {LATE}")
        if error.sent is not None and error.sent.code == TOO_BIG:
            return BackendError(f"{self._url}: an answer of more than {self._limit / 2**20:.4g} MiB is not read")
        return BackendError(f"{self._url}: the server ended the connection: {error}")


def _status(error: InvalidStatus) -> str:
    """A refusal in the server's words."""
    words = (error.response.body or b"").decode(errors="replace").split()
    return f"HTTP {error.response.status_code}: {' '.join(words)[:WORDS]}"


def _cut(connection: ClientConnection) -> None:
    """End a connection, and whatever waits on it: a thread that sends does not notice when its socket is closed."""
    with suppress(OSError):
        connection.socket.shutdown(socket.SHUT_RDWR)
    connection.close_socket()
