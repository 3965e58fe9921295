"""Work shared between the machines of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from vla_uq.errors import InputError

Job = TypeVar("Job")
Result = TypeVar("Result")
QUEUED = 10_000
"""Jobs handed to the cluster at once."""


def run_on_ray(function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[tuple[Job, Result]]:
    """:func:`vla_cli.parallel.run_jobs` on the cluster that ``RAY_ADDRESS`` names; without one, on this machine.

    What ``function`` reads from disk must lie under the same path on every machine, and this package be installed.

    :raises InputError: when Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("Ray is not installed", where="--ray", remedy="pip install 'vla-monitor[ray]'") from error
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False, include_dashboard=False)
    remote = ray.remote(num_cpus=1)(function)
    waiting = list(reversed(jobs))
    running: dict[Any, Job] = {}
    try:
        while waiting or running:
            while waiting and len(running) < QUEUED:
                job = waiting.pop()
                running[remote.remote(job)] = job
            (done, *_), _ = ray.wait(list(running), num_returns=1)
            yield running.pop(done), ray.get(done)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        if started:
            ray.shutdown()
