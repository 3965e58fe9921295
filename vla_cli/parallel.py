"""Work shared between processes: results arrive as they are done, and an interrupt ends all of it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_jobs(function: Callable[[Job], Result], jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, Result]]:
    """Run ``function`` on every job, in ``processes`` fresh processes (in this one when it is 1).

    Results come in the order in which they are done. At most two jobs a process wait in the queue, so that an error
    or an interrupt does not have to sit out a long list.

    :param function: importable by name; what it keeps between jobs lives in its own process.
    """
    if processes <= 1:
        for job in jobs:
            yield job, function(job)
        return
    # Fresh processes: a forked GL context, ROS context or thread pool would be shared and break.
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
    remaining = list(reversed(jobs))
    running: dict[Future[Result], Job] = {}
    try:
        while True:
            while remaining and len(running) < 2 * processes:
                job = remaining.pop()
                running[pool.submit(function, job)] = job
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
