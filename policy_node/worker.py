"""One thread for a policy's inferences, so that a slow one never keeps its node from speaking."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], None]


class Worker:
    """Does one job at a time; whoever asks never waits, and is told when a job has ended.

    :param done: called on the worker's thread after each job, when the next can be given; it must not raise.
    :param failed: called with whatever a job raised.
    """

    def __init__(self, done: Job, failed: Callable[[Exception], None]) -> None:
        self._done, self._failed = done, failed
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._since: float | None = None
        # A thread that is stuck in somebody's library must not keep the process.
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> float:
        """Seconds for which the present job has been running; 0 when there is none."""
        since = self._since
        return 0.0 if since is None else max(time.monotonic() - since, 1e-9)

    def start(self, job: Job) -> None:
        """Do a job.

        :raises RuntimeError: while another runs: ask ``busy`` before.
        """
        if self._since is not None:
            raise RuntimeError("the worker is busy")
        self._since = time.monotonic()
        self._jobs.put(job)

    def close(self, patience: float) -> bool:
        """End the thread after its job; says whether it ended within ``patience`` seconds."""
        self._jobs.put(None)
        self._thread.join(patience)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:
                self._failed(error)
            self._since = None
            self._done()
