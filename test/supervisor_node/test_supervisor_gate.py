"""The gate: what is released, when, and which action is due."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_node.arms import open_arm
from supervisor_node.config import Config
from supervisor_node.gate import Gate
from supervisor_node.states import Mode
from supervisor_node.table import Event
from supervisor_node.values import ResetAck
from vla_uq.contracts import Chunk, Key, Score, Space

RUN = b"P" * 16
ARM = open_arm("franka_crisp_sim")


def key(sequence: int) -> Key:
    return Key(RUN, sequence, "e", sequence)


@pytest.fixture
def gate() -> Gate:
    return opened(Config())


def opened(config: Config) -> Gate:
    gate = Gate(ARM, config)
    gate.expect("e", None)
    assert not gate.acknowledge(ResetAck(True, "", RUN, 0))
    return gate


def absolute(chunk: Chunk) -> Chunk:
    actions = np.zeros((16, 6), np.float32)
    actions[:, 2] = 0.3
    return dataclasses.replace(chunk, space=Space.EE_POSE, actions=actions)


def test_nothing_is_released_without_a_score(gate: Gate, chunk_of: Any, score_of: Any) -> None:
    chunk = chunk_of(key(0))
    assert not gate.chunk(1.0, 1.0, chunk)
    assert gate.release(1.01) is None and gate.upcoming(1.01) is None
    assert not gate.score(score_of(chunk))
    assert gate.release(1.02) is chunk and gate.upcoming(1.02) == (chunk, 0)


def test_score_may_come_first(gate: Gate, chunk_of: Any, score_of: Any) -> None:
    chunk = chunk_of(key(0))
    gate.score(score_of(chunk))
    assert gate.release(1.0) is None
    gate.chunk(1.0, 1.0, chunk)
    assert gate.release(1.0) is chunk


@pytest.mark.parametrize("late", [0.0, 0.04, 0.0999])
def test_late_deltas_start_at_their_first_action(gate: Gate, chunk_of: Any, score_of: Any, late: float) -> None:
    chunk = chunk_of(key(0))
    gate.chunk(1.0, 1.0, chunk)
    gate.score(score_of(chunk))
    assert gate.release(1.0 + late) is chunk and gate.upcoming(1.0 + late) == (chunk, 0)


@pytest.mark.parametrize("late", [0.1, 0.3, 2.0])
def test_deltas_more_than_a_step_late_are_discarded_and_counted(
    gate: Gate, chunk_of: Any, score_of: Any, late: float
) -> None:
    chunk = chunk_of(key(0))
    gate.chunk(1.0, 1.0, chunk)
    gate.score(score_of(chunk))
    assert gate.release(1.0 + late) is None and gate.discarded == 1
    assert gate.release(1.0) is None, "it does not come back"


def test_deltas_are_never_skipped(gate: Gate, chunk_of: Any, score_of: Any) -> None:
    chunk = chunk_of(key(0))
    gate.chunk(1.0, 1.0, chunk)
    gate.score(score_of(chunk))
    gate.release(1.0)
    for index, now in enumerate([1.0, 1.05, 1.3, 1.31, 1.4]):
        assert gate.upcoming(now) == (chunk, index)
        gate.sent()


def test_absolute_actions_are_skipped_up_to_now(gate: Gate, chunk_of: Any, score_of: Any) -> None:
    chunk = absolute(chunk_of(key(0)))
    gate.chunk(1.0, 1.0, chunk)
    gate.score(score_of(chunk))
    assert gate.release(1.23) is chunk
    assert [gate.upcoming(now) for now in (1.23, 1.25, 1.749, 1.8)] == [(chunk, 4), (chunk, 5), (chunk, 14), None]


def test_absolute_chunk_that_is_over_is_discarded(gate: Gate, chunk_of: Any, score_of: Any) -> None:
    chunk = absolute(chunk_of(key(0)))
    gate.chunk(1.0, 1.0, chunk)
    gate.score(score_of(chunk))
    assert gate.release(1.81) is None and gate.discarded == 1


def test_chunk_runs_on_until_the_next_one_passes(gate: Gate, chunk_of: Any, score_of: Any) -> None:
    first, second = chunk_of(key(0)), chunk_of(key(1))
    gate.chunk(1.0, 1.0, first)
    gate.score(score_of(first))
    gate.release(1.0)
    for _ in range(8):
        gate.sent()
    gate.chunk(1.3, 1.3, second)
    assert gate.release(1.35) is None and gate.upcoming(1.35) == (first, 8)
    gate.score(score_of(second))
    assert gate.release(1.36) is second and gate.upcoming(1.36) == (second, 0)


def test_horizon_ends(gate: Gate, chunk_of: Any, score_of: Any) -> None:
    chunk = chunk_of(key(0))
    gate.chunk(1.0, 1.0, chunk)
    gate.score(score_of(chunk))
    gate.release(1.0)
    for _ in range(16):
        assert gate.upcoming(1.0) is not None
        gate.sent()
    assert gate.upcoming(1.0) is None


def test_only_the_newest_is_released(gate: Gate, chunk_of: Any, score_of: Any) -> None:
    first, second = chunk_of(key(0)), chunk_of(key(1))
    for chunk in (first, second):
        gate.chunk(1.0, 1.0, chunk)
        gate.score(score_of(chunk))
    assert gate.release(1.0) is second and gate.discarded == 1


@pytest.mark.parametrize("value", [1.01, float("nan"), float("inf")])
def test_score_that_does_not_pass_is_an_event_even_without_its_chunk(
    gate: Gate, chunk_of: Any, score_of: Any, value: float
) -> None:
    events = [occurrence.event for occurrence in gate.score(score_of(chunk_of(key(3)), value))]
    assert events == [Event.ALERT if np.isfinite(value) else Event.BAD_SCORE]


def test_alarm_beside_a_low_score_does_not_pass(gate: Gate, chunk_of: Any, score_of: Any) -> None:
    """The alarm is sticky: a lost message cannot lose it."""
    score = score_of(chunk_of(key(0)), 0.1, alarm=True)
    assert [o.event for o in gate.score(score)] == [Event.ALERT]


def test_threshold_itself_passes(gate: Gate, chunk_of: Any, score_of: Any) -> None:
    assert not gate.score(score_of(chunk_of(key(0)), 1.0))


def test_second_score_cannot_undo_the_first(gate: Gate, chunk_of: Any, score_of: Any) -> None:
    chunk = chunk_of(key(0))
    gate.chunk(1.0, 1.0, chunk)
    gate.score(score_of(chunk, 4.0))
    gate.score(score_of(chunk, 0.1))
    assert gate.release(1.0) is None


def test_score_of_another_chunk(gate: Gate, chunk_of: Any, score_of: Any) -> None:
    chunk = chunk_of(key(0))
    gate.chunk(1.0, 1.0, chunk)
    found = gate.score(score_of(chunk, 0.1, chunk_digest=1))
    assert [o.event for o in found] == [Event.BAD_SCORE] and "digest" in found[0].text
    assert gate.release(1.0) is None


def test_closed_gate_keeps_nothing(gate: Gate, chunk_of: Any, score_of: Any) -> None:
    gate.close()
    chunk = chunk_of(key(0))
    assert not gate.chunk(1.0, 1.0, chunk) and not gate.score(score_of(chunk, 9.0))
    gate.expect("e", None)
    gate.acknowledge(ResetAck(True, "", RUN, 0))
    assert gate.release(1.0) is None


def test_shadow_mode_waits_a_moment_for_the_score(chunk_of: Any, score_of: Any) -> None:
    gate = opened(Config(mode=Mode.SHADOW))
    chunk = chunk_of(key(0))
    gate.chunk(1.02, 1.0, chunk)
    assert gate.release(1.07) is None
    assert gate.release(1.081) is chunk, "released before it is too late to be executed"
    late = absolute(chunk_of(key(1)))
    gate.chunk(2.0, 2.0, late)
    assert gate.release(2.149) is None and gate.release(2.151) is late
    scored = chunk_of(key(2))
    gate.chunk(3.0, 3.0, scored)
    gate.score(score_of(scored, 9.0))
    assert gate.release(3.0) is scored


def test_without_a_monitor_shadow_mode_does_not_wait(chunk_of: Any) -> None:
    gate = opened(Config(mode=Mode.SHADOW, require_monitor=False))
    chunk = chunk_of(key(0))
    gate.chunk(1.0, 1.0, chunk)
    assert gate.release(1.0) is chunk


def test_lockstep_runs_exactly_the_executed_steps(chunk_of: Any, score_of: Any) -> None:
    gate = opened(Config(lockstep=True))
    chunk = chunk_of(key(0))
    gate.chunk(1.0, 1.0, chunk)
    gate.score(score_of(chunk))
    gate.release(1.0)
    for index in range(6):
        assert gate.upcoming(1.0 + 0.05 * index) == (chunk, index)
        gate.sent()
    assert gate.upcoming(1.3) is None


ARRIVALS = st.lists(
    st.tuples(st.sampled_from(["chunk", "score"]), st.integers(0, 12), st.sampled_from([0.2, 1.0, 1.2, float("nan")])),
    max_size=60,
)


@given(ARRIVALS)
def test_whatever_arrives_in_whatever_order(arrivals: list[tuple[str, int, float]]) -> None:
    """I9 for the gate alone: what is released was accepted once, newest first, with a passing first score."""
    gate = opened(Config())
    first_scores: dict[int, Score] = {}
    last = -1
    for now, (kind, sequence, value) in enumerate(arrivals):
        actions = np.full((16, 6), 0.001 * sequence, np.float32)
        chunk = Chunk(
            key(sequence), Space.EE_DELTA, ("x", "y", "z", "rx", "ry", "rz"), actions, np.ones(16, np.float32), 0.05, 6
        )
        if kind == "chunk":
            gate.chunk(now * 0.001, now * 0.001, chunk)
        else:
            score = Score(chunk.key, chunk.digest, value, 1.0, alarm=not value <= 1.0)
            found = gate.score(score)
            assert bool(found) == (not score.passes)
            first_scores.setdefault(sequence, score)
        released = gate.release(now * 0.001)
        if released is not None:
            assert released.key.sequence > last
            last = released.key.sequence
            assert first_scores[last].passes and first_scores[last].chunk_digest == released.digest
        upcoming = gate.upcoming(now * 0.001)
        assert upcoming is None or first_scores[upcoming[0].key.sequence].passes
