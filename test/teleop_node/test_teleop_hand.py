"""The hand: what counts as held, what a takeover moves, and when the device lets go by itself."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teleop_node.device import Term
from teleop_node.values import Handling, Pose, Wish
from vla_uq.geometry import rotation_matrix, rotation_vector


# -- the deadman -----------------------------------------------------------------------------------------------------
def test_held_gives_the_lease_and_letting_go_takes_it_at_once(bench: Any) -> None:
    assert not bench.advance().active
    assert bench.advance(deadman=1.0).active
    assert not bench.advance(deadman=0.0).active


def test_28_deadman_that_is_pressed_at_the_start_is_stuck(bench: Any) -> None:
    bench.axes["deadman"] = 1.0
    assert not bench.advance(1.0).active
    bench.advance(deadman=0.0)
    assert bench.advance(deadman=1.0).active


def test_silence_lets_go_within_the_timeout_and_asks_for_a_release(bench: Any) -> None:
    bench.engage()
    bench.talks = False
    assert bench.advance(0.14).active
    silent = bench.advance(0.04)
    assert not silent.active and silent.note == "no message on joy for 0.15 s"
    bench.talks = True
    assert not bench.advance(0.5).active, "what is held after a silence was never let go"
    bench.advance(deadman=0.0)
    assert bench.advance(deadman=1.0).active


def test_28_a_dead_link_that_repeats_its_last_state_lets_go(new_bench: Any) -> None:
    bench = new_bench(frozen=1.0)
    bench.engage()
    bench.advance(0.5, x=0.8)
    assert bench.advance(0.4).active
    bench.advance(0.2)
    assert not bench.last.active and any("is the link dead?" in said.note for said in bench.said)
    start = bench.arm.pose.position.copy()
    bench.advance(2.0)
    assert bench.arm.pose.position == pytest.approx(start), "a repeated state moves nothing any more"


def test_a_stick_at_rest_may_be_as_still_as_it_likes(new_bench: Any) -> None:
    bench = new_bench(frozen=1.0)
    bench.engage()
    assert bench.advance(5.0).active


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_9_values_that_are_not_finite_let_go(bench: Any, value: float) -> None:
    bench.engage()
    handling = bench.advance(x=value)
    assert not handling.active and handling.note == "joy.x is not finite"


def test_a_channel_that_the_device_lacks_is_named(new_bench: Any) -> None:
    bench = new_bench(deadman=Term("joy", "button99"))
    assert bench.advance().note.startswith("joy.button99: the device has x, rz, deadman")


def test_nothing_before_the_arm_is_seen(bench: Any) -> None:
    bench.advance()
    arm, bench.arm = bench.arm, None
    assert bench.advance(deadman=1.0).note == "the supervisor does not show the arm"
    bench.arm = arm
    assert bench.advance().active


# -- buttons ---------------------------------------------------------------------------------------------------------
def test_28_buttons_count_at_their_edges_only(bench: Any) -> None:
    bench.axes["halt"] = 1.0
    bench.advance(0.5)
    assert not bench.wishes, "stuck at the start"
    bench.advance(halt=0.0)
    bench.advance(0.5, halt=1.0)
    assert bench.wishes == [Wish.HALT]


def test_takeover_is_asked_for_when_the_supervisor_has_the_lease(bench: Any) -> None:
    bench.advance()
    bench.advance(0.1, deadman=1.0, take=1.0)
    assert not bench.wishes
    bench.advance(0.2)
    assert bench.wishes == [Wish.TAKE] and bench.last.active


def test_takeover_without_the_deadman_is_for_the_supervisor_to_refuse(bench: Any) -> None:
    bench.advance()
    bench.advance(take=1.0)
    assert bench.wishes == [Wish.TAKE]


def test_takeover_that_is_let_go_of_is_forgotten(bench: Any) -> None:
    bench.advance()
    bench.advance(0.1, deadman=1.0, take=1.0)
    bench.advance(0.1, deadman=0.0)
    bench.advance(1.0, deadman=1.0)
    assert not bench.wishes


# -- relative motion -------------------------------------------------------------------------------------------------
def test_the_takeover_moves_nothing_whatever_the_stick_says(bench: Any) -> None:
    bench.advance()
    bench.advance(1.0, deadman=1.0, x=1.0)
    assert bench.last.target.position == pytest.approx(bench.arm.pose.position)
    bench.drive()
    moved = bench.advance().target.position - [0.1, 0.2, 0.3]
    assert moved == pytest.approx([0.1 * 0.02, 0, 0])


def test_rates_are_integrated(bench: Any) -> None:
    bench.engage()
    bench.advance(1.0, x=0.5, rz=1.0)
    assert bench.last.target.position == pytest.approx([0.1 + 0.05, 0.2, 0.3], abs=1e-9)
    assert rotation_vector(bench.last.target.rotation) == pytest.approx([0, 0, 0.5], abs=1e-9)


def test_deadzone_is_of_the_stick(bench: Any) -> None:
    bench.engage()
    bench.advance(1.0, x=0.09)
    assert bench.last.target.position == pytest.approx([0.1, 0.2, 0.3])


def test_a_pause_is_not_made_up_for(bench: Any) -> None:
    bench.engage()
    bench.advance(x=1.0)
    before = bench.last.target.position[0]
    bench.now += 0.12
    bench.advance()
    assert bench.last.target.position[0] - before == pytest.approx(0.1 * 0.1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.booleans(), st.booleans()), max_size=40))
def test_target_is_on_a_leash_and_active_only_while_held(
    new_bench: Any, plays: list[tuple[float, float, bool, bool]]
) -> None:
    """A blocked arm: whatever is done to the stick, the target stays near, and there is none without the deadman."""
    bench = new_bench()
    bench.follows = False
    bench.engage()
    for x, turn, held, talks in plays:
        bench.talks = talks
        handling: Handling = bench.advance(0.2, x=x, rz=turn, deadman=float(held))
        assert handling.active == (handling.target is not None)
        assert not handling.active or (held and bench.arm is not None)
        if handling.target is not None:
            assert np.linalg.norm(handling.target.position - bench.arm.pose.position) <= 0.06 + 1e-9
            angle = np.linalg.norm(rotation_vector(handling.target.rotation @ bench.arm.pose.rotation.T))
            assert angle <= 0.3 + 1e-9


# -- tracked poses ---------------------------------------------------------------------------------------------------
def test_clutch_takes_its_origin_anew(new_bench: Any, tracked_of: Any) -> None:
    bench = new_bench(tracked_of(), clutch=Term("joy", "clutch"))
    bench.engage()
    bench.device = Pose(np.array([5.0, 0, 0]), rotation_matrix([0, 0, 1.0]))
    assert bench.advance(0.1).target.position == pytest.approx([0.1, 0.2, 0.3]), "the clutch is open"
    bench.advance(0.1, clutch=1.0)
    assert bench.last.target.position == pytest.approx([0.1, 0.2, 0.3])
    bench.device = Pose(np.array([5.02, 0, 0]), rotation_matrix([0, 0, 1.1]))
    bench.advance(0.1)
    assert bench.last.target.position == pytest.approx([0.12, 0.2, 0.3])
    assert rotation_vector(bench.last.target.rotation) == pytest.approx([0, 0, 0.1], abs=1e-9)
    bench.advance(0.1, clutch=0.0)
    bench.device = Pose(np.array([1.0, 1.0, 1.0]), np.eye(3))
    assert bench.advance(0.1).target.position == pytest.approx([0.12, 0.2, 0.3])
    bench.advance(0.1, clutch=1.0)
    assert bench.last.target.position == pytest.approx([0.12, 0.2, 0.3])


def test_29_absolute_device_far_from_the_arm_is_refused_with_the_error(new_bench: Any, tracked_of: Any) -> None:
    bench = new_bench(tracked_of(absolute=True))
    bench.device = Pose(np.array([0.1, 0.2, 0.55]), np.eye(3))
    bench.advance()
    assert not bench.advance(deadman=1.0).active
    assert bench.last.note == "0.25 m and 0 rad away, at most 0.1 m and 0.5 rad"
    bench.device = Pose(np.array([0.1, 0.2, 0.35]), np.eye(3))
    assert bench.advance().active
    assert bench.last.target.position == pytest.approx([0.1, 0.2, 0.35])


# -- the gripper -----------------------------------------------------------------------------------------------------
def test_gripper_buttons_go_on_from_what_was_commanded(bench: Any) -> None:
    bench.arm = dataclasses.replace(bench.arm, gripper=0.3)
    bench.engage()
    assert bench.last.gripper == 0.3
    assert bench.advance(0.1, close=1.0).gripper == 0.0
    assert bench.advance(0.1, close=0.0, open=1.0).gripper == 1.0


def test_gripper_button_that_was_pressed_before_the_takeover_does_nothing(bench: Any) -> None:
    bench.arm = dataclasses.replace(bench.arm, gripper=0.3)
    bench.axes["open"] = 1.0
    bench.engage()
    assert bench.advance(0.5).gripper == 0.3
