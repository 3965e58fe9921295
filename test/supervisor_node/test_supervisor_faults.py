"""The fault rows of the specification that need neither ROS nor another arm; the numbers are its rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from supervisor_node.states import Reason, State
from supervisor_node.values import Inputs, JointState, Pose, Wish
from vla_uq.contracts import Chunk, Reference, Space

S = State


def rest_after(bench: Any, seconds: float) -> None:
    """The arm halts, and does not move any more after so long."""
    bench.advance(seconds)
    where = bench.plant.q.copy()
    bench.advance(1.0)
    assert np.abs(bench.plant.q - where).max() < 1e-3


# -- 1 to 4: processes that die --------------------------------------------------------------------------------------
@pytest.mark.faults(row=1, tier="U")
def test_1_killed_monitor(bench: Any) -> None:
    bench.to(S.AUTONOMOUS)
    killed = bench.now
    bench.monitor = False
    out = bench.until(S.HALTING)
    assert bench.now - killed <= 0.5 + 0.01 and out.state.reason is Reason.MONITOR_STALE
    bench.until(S.HALTED)
    assert bench.audit().ok


@pytest.mark.faults(row=2, tier="U")
def test_2_slow_monitor_starves_the_gate_by_construction(bench: Any) -> None:
    """Its heartbeat goes on, its scores do not: nothing unscored is executed, whatever timers say."""
    bench.to(S.AUTONOMOUS)
    bench.score_delay = 100_000
    out = bench.until(S.HALTING)
    assert out.state.reason is Reason.MONITOR_STALE and "no score for chunk" in out.state.text
    bench.until(S.HALTED)
    assert bench.audit().ok


@pytest.mark.faults(row=2, tier="U")
def test_2_scores_of_before_a_resume_count_for_nothing(bench: Any, chunk_of: Any, score_of: Any) -> None:
    bench.to(S.AUTONOMOUS)
    old = [content for _, content in bench.trace if isinstance(content, Chunk)][-1]
    bench.ask(Wish.HALT)
    bench.until(S.HALTED)
    bench.advance(0.6)
    bench.ask(Wish.RESUME)
    bench.until(S.AUTONOMOUS)
    for late in (score_of(old, 0.1), score_of(old, 7.0), score_of(old, math.nan)):
        bench.step(chunk=old, score=late)
    bench.advance(0.5)
    assert bench.state is S.AUTONOMOUS
    assert all(command.key != old.key for at, command in bench.commands[-8:])
    assert bench.audit().ok


@pytest.mark.faults(row=3, tier="U")
def test_3_killed_policy(bench: Any) -> None:
    bench.to(S.AUTONOMOUS)
    killed = bench.now
    bench.policy = False
    out = bench.until(S.HALTING)
    assert out.state.reason is Reason.POLICY_STALE and bench.now - killed <= 0.52
    rest_after(bench, 0.3)


@pytest.mark.faults(row=4, tier="U")
def test_4_restarted_policy_is_not_taken_for_the_old_one(bench: Any) -> None:
    bench.to(S.AUTONOMOUS)
    bench.info = dataclasses.replace(bench.info, run_id=b"Q" * 16)
    bench.sequence, bench._step_index = 0, 0
    out = bench.until(S.HALTING)
    assert out.state.reason in (Reason.FOREIGN_PUBLISHER, Reason.POLICY_STALE, Reason.QUEUE_EMPTY)
    bench.until(S.HALTED)
    bench.advance(2.0)
    assert bench.state is S.HALTED, "not armed again by itself"
    assert all(command.key.run_id != b"Q" * 16 for _, command in bench.commands)
    bench.ask(Wish.RESUME)
    bench.until(S.AUTONOMOUS)
    assert bench.audit().ok


# -- 7 to 12: what the policy and the monitor say --------------------------------------------------------------------
@pytest.mark.faults(row=7, tier="U")
def test_7_chunk_of_an_old_observation_is_discarded(bench: Any) -> None:
    bench.to(S.AUTONOMOUS)
    bench.bend = lambda chunk: dataclasses.replace(chunk, observation_age=0.8)
    out = bench.until(S.HALTING)
    assert out.state.reason is Reason.QUEUE_EMPTY and out.state.discarded_chunks >= 2


@pytest.mark.faults(row=9, tier="U")
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["nonconformity", "threshold"])
def test_9_score_that_is_not_finite(bench: Any, score_of: Any, field: str, bad: float) -> None:
    bench.to(S.AUTONOMOUS)
    chunk = [content for _, content in bench.trace if isinstance(content, Chunk)][-1]
    bench.step(score=score_of(chunk, **{field: bad}))
    assert bench.state is S.HALTING and bench.shown.reason is Reason.BAD_SCORE


def _poisoned(chunk: Chunk, column: int) -> Chunk:
    actions = chunk.actions.copy()
    actions[3, column] = np.nan
    return dataclasses.replace(chunk, actions=actions)


def _far(chunk: Chunk) -> Chunk:
    actions = chunk.actions.copy()
    actions[9, 1] = 0.3
    return dataclasses.replace(chunk, actions=actions)


BAD_CHUNKS: dict[str, Callable[[Chunk], Chunk]] = {
    **{f"nan in column {i}": lambda c, i=i: _poisoned(c, i) for i in range(6)},  # type: ignore[misc]
    "nan in gripper": lambda c: dataclasses.replace(c, gripper=np.full(16, np.nan, np.float32)),
    "gripper beyond open": lambda c: dataclasses.replace(c, gripper=np.full(16, 1.5, np.float32)),
    "horizon": lambda c: dataclasses.replace(c, actions=c.actions[:8], gripper=c.gripper[:8]),
    "dim": lambda c: dataclasses.replace(c, actions=c.actions[:, :5]),
    "names": lambda c: dataclasses.replace(c, names=("y", "x", "z", "rx", "ry", "rz")),
    "space": lambda c: dataclasses.replace(c, space=Space.EE_POSE),
    "reference": lambda c: dataclasses.replace(c, reference=Reference.PREVIOUS),
    "step_duration": lambda c: dataclasses.replace(c, step_duration=0.1),
    "execute_steps": lambda c: dataclasses.replace(c, execute_steps=7),
    "digest": lambda c: dataclasses.replace(c, claimed_digest=c.digest ^ 1),
    "episode": lambda c: dataclasses.replace(c, key=dataclasses.replace(c.key, episode_id="another")),
    "step goes back": lambda c: dataclasses.replace(c, key=dataclasses.replace(c.key, step=0)),
    "frame": lambda c: dataclasses.replace(c, frame_id="camera"),
    "out of limits": _far,
}


@pytest.mark.faults(row=9, tier="U")
@pytest.mark.faults(row=10, tier="U")
@pytest.mark.faults(row=11, tier="U")
@pytest.mark.faults(row=31, tier="U")
@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_9_10_11_31_malformed_chunk_halts(bench: Any, name: str) -> None:
    bench.to(S.AUTONOMOUS)
    bench.bend = BAD_CHUNKS[name]
    out = bench.until(S.HALTING)
    assert out.state.reason is Reason.BAD_CHUNK
    word = name.split()[0] if name != "out of limits" else "step"
    assert {"nan": "finite", "episode": "episode_id", "frame": "frame_id"}.get(word, word) in out.state.text
    assert bench.audit().ok


@pytest.mark.faults(row=9, tier="U")
@pytest.mark.parametrize("where", range(9))
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_9_joint_states_that_are_not_finite(bench: Any, where: int, bad: float) -> None:
    bench.to(S.AUTONOMOUS)
    names = (*bench.supervisor._m.arm.profile.joints.names, "fr3_finger_joint1", "fr3_finger_joint2")
    positions = np.concatenate([bench.plant.q, [0.04, 0.04]])
    positions[where] = bad
    out = bench.step(joints=JointState(names, positions, bench.stamp))
    assert out.state.state is S.HALTING and out.state.reason is Reason.ROBOT_STALE
    assert out.command is not None and np.isfinite(out.command.motion.joints).all()


@pytest.mark.faults(row=9, tier="U")
def test_9_pose_that_is_not_finite(bench: Any) -> None:
    bench.to(S.AUTONOMOUS)
    out = bench.step(pose=Pose(np.array([0.0, np.nan, 0.3]), np.eye(3), bench.stamp))
    assert out.state.state is S.HALTING and out.state.reason is Reason.ROBOT_STALE


@pytest.mark.faults(row=10, tier="U")
def test_10_joints_are_mapped_by_name(bench: Any) -> None:
    bench.to(S.IDLE)
    names = ("fr3_finger_joint1", "fr3_finger_joint2", *bench.supervisor._m.arm.profile.joints.names[::-1])
    positions = np.concatenate([[0.01, 0.03], bench.plant.q[::-1]])
    bench.step(joints=JointState(names, positions, bench.stamp))
    measured = bench.supervisor._m.senses.measured
    assert np.array_equal(measured.q, bench.plant.q) and measured.opening == pytest.approx(0.5)


@pytest.mark.faults(row=10, tier="U")
def test_10_missing_joint_stops(bench: Any) -> None:
    bench.to(S.AUTONOMOUS)
    out = bench.step(joints=JointState(("fr3_joint1",), np.zeros(1), bench.stamp))
    assert out.state.state is S.HALTING and "fr3_joint2" in out.state.text


@pytest.mark.faults(row=11, tier="U")
def test_11_long_steps_are_shortened_and_said(bench: Any) -> None:
    def bend(chunk: Chunk) -> Chunk:
        actions = chunk.actions.copy()
        actions[:, 0], actions[:, 5] = 0.11, 1.2
        return dataclasses.replace(chunk, actions=actions)

    bench.to(S.AUTONOMOUS)
    bench.bend = bend
    bench.advance(0.4)
    last = bench.commands[-1][1]
    assert last.motion.limited
    assert np.linalg.norm(last.motion.pose.position - last.measured.position) <= 0.09 + 1e-9
    assert bench.audit().limited > 0 and bench.audit().ok


@pytest.mark.faults(row=12, tier="U")
def test_12_duplicates_reordering_and_gaps(bench: Any) -> None:
    bench.to(S.AUTONOMOUS)
    chunks = [content for _, content in bench.trace if isinstance(content, Chunk)]
    for chunk in (*chunks, *reversed(chunks)):
        bench.step(chunk=chunk)
    assert bench.shown.discarded_chunks == 2 * len(chunks)
    bench.sequence += 3
    bench.advance(1.0)
    assert bench.state is S.AUTONOMOUS and bench.supervisor._m.gate.gaps == 3
    executed = [command.key.sequence for _, command in bench.commands]
    assert executed == sorted(executed)


# -- 13, 14: clocks --------------------------------------------------------------------------------------------------
@pytest.mark.faults(row=13, tier="U")
@pytest.mark.faults(row=14, tier="U")
@pytest.mark.parametrize("wall", [-1.6e9, 3600.0, 1e9])
def test_13_14_wall_clock_and_stamps_change_nothing(new_bench: Any, wall: float) -> None:
    """I8: the same run under another wall clock gives the same commands at the same times."""

    def run(wall: float, jump: float) -> list[Any]:
        bench = new_bench(wall=wall)
        bench.value = lambda key: 3.0 if key.step == 6 else 0.1
        bench.to(S.AUTONOMOUS)
        bench.wall += jump
        bench.until(S.HALTED)
        return [(at, c.source, c.index, c.key.sequence, _target(c).tobytes()) for at, c in bench.commands]

    assert run(1.7e9, 0.0) == run(1.7e9 + wall, 3600.0) == run(1.7e9 - wall, -3600.0)


def _target(command: Any) -> Any:
    return command.motion.joints if command.motion.joints is not None else command.motion.pose.position


@pytest.mark.faults(row=14, tier="U")
def test_14_clock_that_jumps_back_halts(bench: Any) -> None:
    bench.to(S.AUTONOMOUS)
    out = bench.supervisor.step(bench.now - 5.0, Inputs())
    assert out.state.state is S.HALTING and out.state.reason is Reason.CLOCK_JUMP


@pytest.mark.faults(row=14, tier="U")
def test_14_simulation_time_that_jumps_back_halts(bench: Any) -> None:
    bench.to(S.AUTONOMOUS)
    assert bench.step(clock_jump="back by 100 s").state.reason is Reason.CLOCK_JUMP
