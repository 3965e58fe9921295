"""Chunks by the clock: the echoed stamp, skipping, policies that block while they infer, velocities as positions."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_node.arms import open_arm
from supervisor_node.config import Config
from supervisor_node.gate import Gate
from supervisor_node.senses import Senses
from supervisor_node.states import Reason, State
from supervisor_node.values import Inputs, JointState, Measured, Motion, Pose, ResetAck, Wish
from vla_uq.contracts import Chunk, Key, Score, Space
from vla_uq.errors import InputError

ARM = open_arm("franka_crisp_sim")
JOINTS = ARM.profile.joints
RUN, DT, HORIZON = b"P" * 16, 0.05, 16


def chunk_of_space(sequence: int, space: Space) -> Chunk:
    names = JOINTS.names if space in (Space.JOINT_POSITION, Space.JOINT_VELOCITY) else ("x", "y", "z", "rx", "ry", "rz")
    actions = np.full((HORIZON, len(names)), 0.001 * sequence, np.float32)
    if space is Space.JOINT_POSITION:
        actions += (0.5 * (JOINTS.lower + JOINTS.upper)).astype(np.float32)
    return Chunk(Key(RUN, sequence, "e", sequence), space, names, actions, np.ones(HORIZON, np.float32), DT, 6)


def opened(**settings: Any) -> Gate:
    gate = Gate(ARM, Config(**settings))
    gate.expect("e", None)
    gate.acknowledge(ResetAck(True, "", RUN, 0))
    return gate


def give(gate: Gate, now: float, observed: float, chunk: Chunk) -> Chunk | None:
    assert not gate.chunk(now, observed, chunk)
    assert not gate.score(Score(chunk.key, chunk.digest, 0.2, 1.0, alarm=False))
    return gate.release(now)


# -- when a chunk begins ---------------------------------------------------------------------------------------------
def test_the_echoed_stamp_names_our_own_receipt_and_no_clock() -> None:
    senses = Senses(ARM.profile)
    names = (*JOINTS.names, *ARM.profile.gripper.joints)
    stamp = (4_000_000_000, 7)  # another host's clock, far ahead
    senses.take(12.5, Inputs(joints=JointState(names, np.zeros(len(names)), stamp)))
    chunk = dataclasses.replace(chunk_of_space(0, Space.EE_DELTA), observation_stamp=stamp, observation_age=0.4)
    assert senses.observed(12.6, chunk) == 12.5, "not 12.6 - 0.4"
    unknown = dataclasses.replace(chunk, observation_stamp=(1, 2))
    assert senses.observed(12.6, unknown) == pytest.approx(12.2), "a stamp that never came: the producer's own age"
    assert senses.observed(12.6, dataclasses.replace(chunk, observation_stamp=(0, 0))) == pytest.approx(12.2)


TIMES = st.lists(st.floats(0.0, 0.2), min_size=1, max_size=40)


@given(st.sampled_from([Space.JOINT_POSITION, Space.EE_POSE]), TIMES, st.floats(0.0, 0.79))
def test_absolute_actions_are_those_of_the_clock(space: Space, steps: list[float], late: float) -> None:
    gate, observed = opened(), 3.0
    chunk = chunk_of_space(0, space)
    now = observed + late
    assert give(gate, now, observed, chunk) is chunk
    for step in steps:
        due = gate.upcoming(now)
        index = math.floor((now - observed) / DT + 1e-6)
        assert due == ((chunk, index) if index < HORIZON else None), "never one from before, never one from later"
        gate.sent()
        now += step


@given(
    st.sampled_from([Space.EE_DELTA, Space.JOINT_VELOCITY]),
    st.lists(st.tuples(st.booleans(), st.floats(0.0, 0.2), st.floats(0.0, 0.3)), min_size=1, max_size=40),
    st.sampled_from([0.0, 0.5]),
)
def test_no_delta_is_skipped_or_repeated(space: Space, moments: list[tuple[bool, float, float]], gap: float) -> None:
    """Whatever comes when: the actions of each released chunk are sent from its first on, one after the other."""
    gate, now, sequence, sent = opened(policy_gap=gap), 1.0, 0, dict[Key, list[int]]()
    for comes, step, age in moments:
        now += step
        if comes:
            give(gate, now, now - age, chunk_of_space(sequence, space))
            sequence += 1
        due = gate.upcoming(now)
        if due is not None:
            chunk, index = due
            assert index == len(sent.setdefault(chunk.key, []))
            sent[chunk.key].append(index)
            gate.sent()
        gate.ran_out(now)
    assert list(sent) == sorted(sent), "an older chunk never comes back"


# -- policies that block ---------------------------------------------------------------------------------------------
def blocks(bench: Any) -> None:
    """Infer half a second, execute the whole chunk, look again: the arm is without an action for half a second."""
    infer = type(bench).infer

    def blocking() -> None:
        infer(bench)
        bench._infer_at = bench.ms + 1300

    bench.chunk_delay, bench.infer = 500, blocking


def test_a_hole_that_was_not_declared_halts(new_bench: Any) -> None:
    bench = new_bench(Config(max_observation_age=1.0))
    blocks(bench)
    bench.until(State.IDLE)
    bench.ask(Wish.START, instruction="stack")
    out = bench.until(State.HALTED, 6.0)
    assert out.state.reason is Reason.RESUME_TIMEOUT, "deltas half a second late are never begun with"


def test_in_a_declared_gap_the_arm_holds_and_nothing_is_wrong(new_bench: Any) -> None:
    bench = new_bench(Config(policy_gap=0.6))
    blocks(bench)
    bench.until(State.IDLE)
    bench.ask(Wish.START, instruction="stack")
    bench.until(State.AUTONOMOUS)
    bench.advance(5.0)
    assert bench.state is State.AUTONOMOUS and bench.shown.discarded_chunks == 0
    times = np.array([at for at, _ in bench.commands])
    holes = np.diff(times)[np.diff(times) > 0.1]
    assert len(holes) >= 3 and (holes < 0.6).all(), "nothing is sent in it"
    indices: dict[Key, list[int]] = {}
    for _, command in bench.commands:
        indices.setdefault(command.key, []).append(command.index)
    assert all(found == list(range(len(found))) for found in indices.values()), "no displacement is lost"
    assert [len(found) for found in indices.values()][:-1] == [16] * (len(indices) - 1)
    assert bench.audit().ok


def test_a_gap_longer_than_declared_halts(new_bench: Any) -> None:
    bench = new_bench(Config(policy_gap=0.3))
    blocks(bench)
    bench.until(State.IDLE)
    bench.ask(Wish.START, instruction="stack")
    bench.until(State.AUTONOMOUS)
    out = bench.until(State.HALTING)
    last = bench.commands[-2][0]
    assert out.state.reason is Reason.QUEUE_EMPTY and 0.3 <= bench.now - last <= 0.3 + 3 * DT
    assert bench.audit().ok


def test_an_observation_from_before_the_gap_makes_deltas_late() -> None:
    """What the arm moved since is counted, its standing still is not."""
    gate = opened(policy_gap=1.0)
    assert give(gate, 1.4, 1.0, chunk_of_space(0, Space.EE_DELTA)) is not None, "a session begins at rest"
    for _ in range(HORIZON):
        gate.sent()
    assert not gate.ran_out(2.2)
    assert give(gate, 2.6, 2.0, chunk_of_space(1, Space.EE_DELTA)) is None and gate.discarded == 1
    assert give(gate, 2.7, 2.15, chunk_of_space(2, Space.EE_DELTA)) is not None


def test_a_gap_is_a_time() -> None:
    with pytest.raises(InputError, match="policy_gap"):
        Config(policy_gap=-0.1)
    with pytest.raises(InputError, match="policy_gap"):
        Config(policy_gap=math.nan)


# -- joint velocities ------------------------------------------------------------------------------------------------
def at(q: Any) -> Measured:
    return Measured(np.asarray(q, np.float64), np.zeros(len(q)), Pose(np.array([0.4, 0, 0.3]), np.eye(3)), 1.0, (0, 0))


@pytest.mark.parametrize("profile", ["franka_crisp_sim", "franka_jtc"])
def test_velocities_become_positions_from_the_target_before(profile: str) -> None:
    """DROID's actions: rad/s, integrated from the reference and not from where the arm lags behind it."""
    arm = open_arm(profile)
    q = 0.5 * (arm.profile.joints.lower + arm.profile.joints.upper)
    speeds = np.tile(np.linspace(-0.4, 0.4, len(q)), (4, 1))
    chunk = Chunk(Key(RUN, 0, "e", 0), Space.JOINT_VELOCITY, arm.profile.joints.names, speeds.astype(np.float32),
                  np.ones(4, np.float32), DT, 4)  # fmt: skip
    assert not arm.check(chunk) and not arm.joins(chunk, 0, at(q)) and not arm.solve(chunk, at(q), None).problem
    last: Motion | None = None
    for index in range(4):
        last = arm.plan(chunk, index, at(q), last)
        assert last.joints is not None and last.pose is None and not last.limited
        assert np.allclose(last.joints, q + DT * (index + 1) * speeds[0], atol=1e-6)


SPEEDS = st.lists(st.floats(-2.0, 2.0), min_size=1, max_size=30)


@given(SPEEDS)
def test_velocities_stop_at_the_limits_and_leave_them_at_once(speeds: list[float]) -> None:
    """No command is outside of the joints' limits or farther than a step, and nothing winds up beyond a limit."""
    q = JOINTS.upper - 0.05
    actions = np.repeat(np.asarray(speeds, np.float32)[:, None], len(q), axis=1)
    chunk = Chunk(Key(RUN, 0, "e", 0), Space.JOINT_VELOCITY, JOINTS.names, actions, np.ones(len(speeds), np.float32),
                  DT, 1)  # fmt: skip
    last, before = Motion(joints=q), q
    for index, speed in enumerate(speeds):
        last = ARM.plan(chunk, index, at(q), last)
        assert last.joints is not None
        step = np.clip(DT * np.float64(np.float32(speed)), -ARM.profile.step.joints, ARM.profile.step.joints)
        assert np.allclose(last.joints, np.clip(before + step, JOINTS.lower, JOINTS.upper), atol=1e-12)
        before = last.joints


def test_velocities_too_fast_to_be_meant_are_malformed() -> None:
    fast = dataclasses.replace(chunk_of_space(0, Space.JOINT_VELOCITY), actions=np.full((16, 7), 40.0, np.float32))
    assert "turns by" in ARM.check(fast)
