"""Pictures are drawn on a thread of their own, behind everything else: a busy machine loses pictures, never scores."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

NICENESS = 10
"""Of the thread (Linux): scores and heartbeats of this process go before it."""


class Painter:
    """Does one job at a time; a job that is offered meanwhile is dropped, for a newer one will come.

    :param failed: called on the painter's thread with what a job raised.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._job: Callable[[], None] = lambda: None
        self._wake, self._idle, self._closed = threading.Event(), threading.Event(), False
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name="painter", daemon=True)
        self._thread.start()

    def offer(self, job: Callable[[], None]) -> bool:
        """Do a job soon; whether it was taken."""
        if self._closed or not self._idle.is_set():
            return False
        self._idle.clear()
        self._job = job
        self._wake.set()
        return True

    def settle(self) -> None:
        """Wait for the job at hand: what it publishes on may be destroyed then."""
        self._idle.wait()

    def close(self) -> None:
        """End after the job at hand."""
        self.settle()
        self._closed = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while self._wake.wait() and not self._closed:
            self._wake.clear()
            try:
                self._job()
            except Exception as error:
                self._failed(error)
            self._idle.set()
