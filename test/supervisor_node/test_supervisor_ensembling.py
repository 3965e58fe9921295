"""Temporal ensembling: averages of what was released, between what passed, and derived again from a recording."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_node.arms import open_arm
from supervisor_node.audit import Auditor
from supervisor_node.config import Config
from supervisor_node.ensembling import Ensembling
from supervisor_node.gate import Gate
from supervisor_node.states import State
from supervisor_node.values import ResetAck, Wish
from vla_uq.contracts import Chunk, Key, Score, Space
from vla_uq.errors import InputError
from vla_uq.geometry import rotation_matrix, rotation_vector

ARM = open_arm("franka_crisp_sim")
RUN, DT, HORIZON = b"P" * 16, 0.05, 16
NAMES = {Space.JOINT_POSITION: ARM.profile.joints.names, Space.EE_POSE: ("x", "y", "z", "rx", "ry", "rz")}


def chunk_of_joints(sequence: int, observed: int, actions: Any, space: Space = Space.JOINT_POSITION) -> Chunk:
    """A chunk whose observation was made so many control steps after the first."""
    values = np.asarray(actions, np.float32)
    stamp = divmod(10**9 + observed * round(DT * 1e9), 10**9)
    gripper = np.full(len(values), sequence % 2, np.float32)
    names = NAMES.get(space, NAMES[Space.EE_POSE])
    key = Key(RUN, sequence, "e", sequence)
    return Chunk(key, space, names, values, gripper, DT, 6, observation_stamp=stamp)


def test_weights_are_those_of_act() -> None:
    """Two chunks six steps apart: exp(0) for the older, exp(-m) for the newer, where both speak of the same moment."""
    ensembling, m = Ensembling(0.01), 0.01
    first = chunk_of_joints(0, 0, np.tile(np.arange(16.0)[:, None], 7))
    second = chunk_of_joints(1, 6, np.full((16, 7), 1.0))
    assert ensembling.take(first).actions.tolist() == first.actions.tolist()
    found = ensembling.take(second)
    expected = (np.arange(6.0, 16.0) + math.exp(-m)) / (1 + math.exp(-m))
    assert np.allclose(found.actions[:10], expected[:, None], atol=1e-6)
    assert np.array_equal(found.actions[10:], second.actions[10:]), "nobody else speaks of these"
    assert np.array_equal(found.gripper, second.gripper) and found.key == second.key


SHIFTS = st.lists(st.integers(1, 20), min_size=1, max_size=8)


@given(SHIFTS, st.floats(0.0, 2.0), st.integers(0, 2**31))
def test_one_by_one_as_all_at_once_and_inside_the_hull(shifts: list[int], decay: float, seed: int) -> None:
    rng, at = np.random.default_rng(seed), np.cumsum([0, *shifts])
    chunks = [chunk_of_joints(i, int(t), rng.normal(size=(HORIZON, 7))) for i, t in enumerate(at)]
    ensembling = Ensembling(decay)
    for i, chunk in enumerate(chunks):
        found = ensembling.take(chunk).actions
        for row in range(HORIZON):
            said = [
                c.actions[at[i] + row - at[j]] for j, c in enumerate(chunks[: i + 1]) if at[i] + row - at[j] < HORIZON
            ]
            weights = np.exp(-decay * np.arange(len(said)))
            assert np.allclose(found[row], weights @ np.stack(said) / weights.sum(), atol=1e-5)
            assert (found[row] >= np.min(said, axis=0) - 1e-5).all() and (
                found[row] <= np.max(said, axis=0) + 1e-5
            ).all()


@given(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4))
def test_rotations_are_averaged_as_rotations(a: float, b: float) -> None:
    """A gripper that points down turns by about π, where rotation vectors change their sign."""
    down = rotation_matrix([math.pi, 0, 0])
    turns = [rotation_vector(rotation_matrix([0, angle, 0]) @ down) for angle in (a, b)]
    poses = [np.tile(np.concatenate([[0.4, 0, 0.2], turn]), (HORIZON, 1)) for turn in turns]
    ensembling = Ensembling(0.0)
    ensembling.take(chunk_of_joints(0, 0, poses[0], Space.EE_POSE))
    found = ensembling.take(chunk_of_joints(1, 6, poses[1], Space.EE_POSE)).actions[0]
    expected = rotation_matrix([0, (a + b) / 2, 0]) @ down
    assert np.allclose(rotation_matrix(found[3:6]), expected, atol=1e-5) and np.allclose(found[:3], [0.4, 0, 0.2])


@pytest.mark.parametrize("space", [Space.EE_DELTA, Space.JOINT_VELOCITY])
def test_deltas_are_never_averaged(space: Space) -> None:
    ensembling = Ensembling(0.01)
    for sequence in range(3):
        chunk = chunk_of_joints(sequence, 6 * sequence, np.full((16, 7), float(sequence)), space)
        assert ensembling.take(chunk) is chunk


@pytest.mark.parametrize("stamp", [(0, 0), (1, 0), (4_000_000_000, 0)])
def test_stamps_that_make_no_sense_average_nothing(stamp: tuple[int, int]) -> None:
    """None, not later than the last one's, or another clock's: nothing tells which actions belong together."""
    ensembling = Ensembling(0.01)
    ensembling.take(chunk_of_joints(0, 0, np.zeros((16, 7))))
    odd = dataclasses.replace(chunk_of_joints(1, 6, np.ones((16, 7))), observation_stamp=stamp)
    assert np.array_equal(ensembling.take(odd).actions, odd.actions)


def test_off_by_default_and_a_number() -> None:
    ensembling = Ensembling(Config().ensembling)
    ensembling.take(chunk_of_joints(0, 0, np.zeros((16, 7))))
    later = chunk_of_joints(1, 6, np.ones((16, 7)))
    assert ensembling.take(later) is later
    with pytest.raises(InputError, match="ensembling"):
        Config(ensembling=math.nan)


def test_only_what_was_released_counts() -> None:
    """A chunk that did not pass leaves no trace in what is executed."""
    gate = Gate(ARM, Config(ensembling=0.0))
    gate.expect("e", None)
    gate.acknowledge(ResetAck(True, "", RUN, 0))
    middle = 0.5 * (ARM.profile.joints.lower + ARM.profile.joints.upper)
    chunks = [chunk_of_joints(i, 6 * i, np.tile(middle + 0.01 * i, (16, 1))) for i in range(3)]
    for i, chunk in enumerate(chunks):
        now = 1.0 + 0.3 * i
        gate.chunk(now, now, chunk)
        gate.score(Score(chunk.key, chunk.digest, 2.0 if i == 1 else 0.2, 1.0, alarm=i == 1))
        assert (gate.release(now) is chunk) == (i != 1)
    executed = gate.upcoming(1.6)
    assert executed is not None
    assert np.allclose(executed[0].actions[0], middle + 0.01, atol=1e-6), "the mean of the first and the third"
    assert gate.digest == chunks[2].digest != executed[0].digest, "recorded by what was scored"


# -- the whole supervisor --------------------------------------------------------------------------------------------
def poses(bench: Any) -> None:
    """A policy of absolute poses near the arm, each chunk a little elsewhere."""
    start = bench.plant.pose((0, 0))
    turn = rotation_vector(start.rotation)

    def bend(chunk: Chunk) -> Chunk:
        offset = 0.004 * math.sin(chunk.key.step)
        actions = np.tile(np.concatenate([start.position + offset, turn]), (HORIZON, 1)).astype(np.float32)
        return dataclasses.replace(chunk, space=Space.EE_POSE, actions=actions)

    bench.bend = bend
    bench.info = dataclasses.replace(bench.info, space=Space.EE_POSE)
    bench.expected = dataclasses.replace(bench.expected, space=Space.EE_POSE)


def audited(bench: Any, ensembling: float) -> Any:
    auditor = Auditor(ARM, reaction=0.0, announcement=0.0, ensembling=ensembling)
    for at, content in bench.trace:
        auditor.take(at, content)
    return auditor.finish()


def test_every_average_is_derived_again(new_bench: Any) -> None:
    bench = new_bench(Config(ensembling=0.01, max_resumes=2))
    poses(bench)
    bench.to(State.AUTONOMOUS)
    bench.advance(2.0)
    bench.ask(Wish.HALT)
    bench.until(State.HALTED)
    bench.advance(1.0)
    bench.ask(Wish.RESUME)
    bench.until(State.AUTONOMOUS)
    bench.advance(2.0)
    assert bench.state is State.AUTONOMOUS
    assert audited(bench, 0.01).ok
    assert audited(bench, -1.0).violated("derived"), "without the averages the commands do not follow"


def test_a_policy_of_deltas_does_not_arm(new_bench: Any) -> None:
    bench = new_bench(Config(ensembling=0.01))
    bench.advance(3.0)
    assert bench.state is State.UNKNOWN and "policy_fits_arm" in bench.shown.failing_guards
    text = next(str(failure) for failure in bench.supervisor.failures if failure.name == "policy_fits_arm")
    assert "EE_POSE or JOINT_POSITION" in text and "EE_DELTA" in text
