"""Observations in, decisions out: an inference runs on a thread of its own, and nobody waits for it.

However long one takes, its node hears, answers and announces itself. A lock is held where either thread touches what
the other does, and never while a back end works. What is published is published under it, so that nothing of an
episode leaves after its end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from policy_node.assembly import ObservationAssembler
from policy_node.backends import BackendError
from policy_node.schedule import InferenceSchedule
from policy_node.session import Decision, Order, PolicySession
from policy_node.worker import Worker
from vla_uq.contracts import Trace
from vla_uq.errors import InputError


class Outlet(Protocol):
    """Where decisions go; called on the thread of the inferences."""

    def chunk(self, decision: Decision, age: float) -> None:
        """A decision has been made on an observation of ``age`` s."""

    def trace(self, trace: Trace) -> None:
        """The trace of the last chunk."""

    def complain(self, problem: str) -> None:
        """Something came to nothing, and why."""


class InferenceLoop:
    """Starts an inference whenever one is due and an observation is there; drops what comes too late.

    :param latest: age (s) of an observation whose chunk still leaves.
    """

    def __init__(
        self,
        session: PolicySession,
        assembler: ObservationAssembler,
        schedule: InferenceSchedule,
        latest: float,
        outlet: Outlet,
    ) -> None:
        self.session, self.latest = session, latest
        self._assembler, self._schedule, self._outlet = assembler, schedule, outlet
        self._lock = threading.Lock()
        self._finished: float | None = None
        self._fault = ""
        self._worker = Worker(self._ended, self._failed)

    @property
    def running(self) -> bool:
        """Whether there is an episode."""
        return self._schedule.running

    @property
    def busy(self) -> float:
        """Seconds for which the present inference has been running; 0 when there is none."""
        return self._worker.busy

    @property
    def age(self) -> float:
        """Seconds since the last finished inference; -1 before the first."""
        return -1.0 if self._finished is None else time.monotonic() - self._finished

    @property
    def problem(self) -> str:
        """What is wrong with the inferences or observations, or nothing."""
        return self._fault or (self._assembler.problem if self.running else "")

    def take(self, store: Callable[..., None], *values: Any) -> None:
        """Store a part of an observation, received now, with a method of the assembler, and infer if that is due."""
        now = time.monotonic()
        with self._lock:
            try:
                store(*values, now)
            except InputError as error:
                self.complain(str(error))
            else:
                self._infer_if_due(now)

    def complain(self, problem: str) -> None:
        """Note what is wrong until an inference succeeds."""
        self._fault = problem
        self._outlet.complain(problem)

    def reset(self, episode_id: str, instruction: str, seed: int | None) -> str:
        """Forget everything of the episode before; an empty episode_id ends inferring until the next reset.

        :returns: why not, or nothing.
        """
        if episode_id and self.busy > self.latest:
            return f"the back end has not answered for {self.busy:.1f} s"
        with self._lock:
            self.session.reset(episode_id, instruction, seed)
            # Nothing received before now is acted on; in lockstep the robot publishes what it waits with again.
            self._assembler.clear()
            if episode_id:
                self._schedule.reset()
            else:
                self._schedule.stop()
        return ""

    def halt(self) -> None:
        """Infer nothing until the next reset, and take no answer to what has been asked."""
        with self._lock:
            self._schedule.stop()
            self.session.stop()

    def close(self, patience: float) -> bool:
        """Let go of the back end; says whether its inference ended within ``patience`` seconds."""
        self.halt()
        self.session.backend.close()
        return self._worker.close(patience)

    def _infer_if_due(self, now: float) -> None:
        """Give the worker the next inference; the lock is held."""
        if self.busy or not self._schedule.due(now):
            return
        assembled = self._assembler.assemble(self.session.instruction, now)
        if assembled is not None and self._schedule.start(assembled.observation.stamp, assembled.oldest):
            self._worker.start(partial(self._infer, self.session.order(assembled.observation), assembled.oldest))

    def _infer(self, order: Order, oldest: float) -> None:
        """One inference, on the worker's thread.

        :raises BackendError: when there is no answer, or it came when nothing of it could be executed any more.
        """
        inference = self.session.infer(order)
        with self._lock:
            if not self.session.current(order):
                return
            age = time.monotonic() - oldest
            if age > self.latest:
                text = f"an answer came {age:.2f} s after its observation, at most {self.latest:g} s: dropped"
                raise BackendError(text)
            decision = self.session.seal(order, inference)
            self._outlet.chunk(decision, age)
        trace = self.session.trace(decision)
        with self._lock:
            if self.session.current(order):
                self._outlet.trace(trace)
                self._finished, self._fault = time.monotonic(), ""

    def _failed(self, error: Exception) -> None:
        """An inference came to nothing, no chunk left or no trace; the next observation is tried."""
        known = isinstance(error, BackendError | InputError)
        with self._lock:
            if self.running:
                self._schedule.retry()
            self.complain(str(error) if known else f"{type(error).__name__} in the back end: {error}")

    def _ended(self) -> None:
        """Look for what arrived during an inference; after one that failed, wait for something new."""
        with self._lock:
            if not self._fault:
                self._infer_if_due(time.monotonic())
