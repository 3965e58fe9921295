"""Policy and monitor on one computer, supervisor beside the arm on another: the cable between them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from supervisor_node.states import Reason, State
from supervisor_node.values import Wish


@pytest.mark.faults(row=16, tier="U")
def test_16_dead_link_to_the_policys_computer(bench: Any) -> None:
    """The arm is held and measured at rest by its own side, a person can take over, and healing resumes nothing."""
    bench.to(State.AUTONOMOUS)
    cut = bench.now
    bench.policy = bench.monitor = False
    out = bench.until(State.HALTING, 0.6)
    assert out.state.reason in (Reason.POLICY_STALE, Reason.MONITOR_STALE)
    bench.until(State.HALTED, 1.0)
    assert bench.shown.halt_verified and bench.now - cut <= 1.0
    where = bench.plant.q.copy()
    bench.advance(3.0)
    assert np.abs(bench.plant.q - where).max() < 1e-3
    bench.hold_device()
    bench.ask(Wish.TAKE)
    assert bench.state is State.TELEOP, "takeover needs no policy"
    bench.ask(Wish.GIVE)
    bench.until(State.HALTED)
    refused = bench.replies[bench.ask(Wish.RESUME)]
    assert not refused.ok and "policy" in refused.message
    bench.policy = bench.monitor = True
    bench.advance(2.0)
    assert bench.shown.state is State.HALTED, "heal does not resume"
    bench.ask(Wish.RESUME)
    bench.until(State.AUTONOMOUS)
    assert bench.audit().ok


@pytest.mark.faults(row=17, tier="U")
def test_17_link_that_delivers_half_a_second_late(bench: Any) -> None:
    """What was said before the cut and comes after it is late by our own receipt of its observation: never executed."""
    bench.to(State.AUTONOMOUS)
    bench.chunk_delay = 470
    bench.bend = lambda chunk: dataclasses.replace(chunk, observation_age=0.02)  # the other computer knows no delay
    executed = {command.key for _, command in bench.commands}
    bench.until(State.HALTED, 3.0)
    assert {command.key for _, command in bench.commands if command.digest} <= executed
    assert bench.shown.reason is Reason.QUEUE_EMPTY and bench.shown.discarded_chunks >= 1
    assert bench.audit().ok
