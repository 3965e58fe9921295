"""What the plant and the pure halves of the doubles do, on a clock that the test turns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from robot_doubles.motors import CLOSED, OPEN, Gripper, Motors
from robot_doubles.plant import Plant
from robot_doubles.trajectory import Follower, Point, Trajectory

NAMES = ("a", "b", "c")


class Clock:
    def __init__(self) -> None:
        self.now = 10.0

    def __call__(self) -> float:
        return self.now

    def run(self, seconds: float, *moving: Any) -> None:
        for _ in range(round(seconds / 0.01)):
            self.now += 0.01
            for one in moving:
                one.advance()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def plant(clock: Clock) -> Plant:
    fall, droop = (0.0, 4.0, 0.0), (0.0, 0.01, 0.0)
    return Plant(NAMES, (0, 0, 0), (-1, -1, -1), (1, 1, 1), clock, fall=fall, droop=droop)


# -- plant -------------------------------------------------------------------------------------------------------------
def test_joints_come_to_the_setpoint_less_the_droop(clock: Clock, plant: Plant) -> None:
    plant.follow([0.3, 0.3, -0.3])
    clock.run(0.05, plant)
    assert np.abs(plant.qd).max() <= plant.top_speed + 1e-9
    clock.run(1.0, plant)
    assert plant.q == pytest.approx([0.3, 0.31, -0.3], abs=1e-6)
    assert plant.at_rest
    assert not plant.disasters


def test_holding_where_it_is_again_and_again_walks_downwards(clock: Clock, plant: Plant) -> None:
    for _ in range(5):
        plant.follow(plant.measured())
        clock.run(0.3, plant)
    assert plant.q[1] == pytest.approx(5 * 0.01, abs=1e-4)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_what_is_not_finite_is_noted_and_moves_nothing(clock: Clock, plant: Plant, wrong: float) -> None:
    told: list[str] = []
    plant.on_disaster.append(told.append)
    plant.follow([0, wrong, 0])
    clock.run(0.3, plant)
    assert plant.q == pytest.approx([0, 0, 0], abs=1e-6)
    assert told == plant.disasters == ["a command that is not finite reached the joints"]


def test_beyond_the_limits_is_noted_and_ends_at_the_stop(clock: Clock, plant: Plant) -> None:
    plant.follow([1.5, 0, 0])
    clock.run(2, plant)
    assert plant.q[0] == 1
    assert plant.disasters == ["a command outside of the joint limits reached the joints"]


def test_stop_ignored(clock: Clock, plant: Plant) -> None:
    plant.follow([0.5, 0, 0])
    clock.run(0.1, plant)
    speed = plant.qd[0]
    plant.run_away()
    for _ in range(10):
        plant.follow(plant.measured())
        clock.run(0.02, plant)
    assert plant.qd[0] == pytest.approx(max(speed, 0.2))
    plant.obey()
    clock.run(0.3, plant)
    assert plant.at_rest


def test_sagging_moves_what_carries_weight(clock: Clock, plant: Plant) -> None:
    plant.sagging = 0.05
    clock.run(1.0, plant)
    assert plant.q == pytest.approx([0, 0.05, 0], abs=2e-3)


def test_without_torque_the_arm_falls_and_then_holds_where_it_is(clock: Clock, plant: Plant) -> None:
    plant.power(False)
    clock.run(0.3, plant)
    fallen = plant.q[1]
    assert fallen == pytest.approx(4 * 0.3**2 / 2, rel=0.1)
    plant.power(True)
    clock.run(0.5, plant)
    assert plant.q[1] == pytest.approx(fallen, abs=0.01)
    assert plant.disasters == ["torque off"]


# -- joint_trajectory_controller ---------------------------------------------------------------------------------------
def trajectory(*points: Point, names: tuple[str, ...] = NAMES, starts_in: float | None = None) -> Trajectory:
    return Trajectory(names, points, starts_in)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (trajectory(), "empty"),
        (trajectory(Point(0.1, (0, 0)), names=("a", "b")), "names"),
        (trajectory(Point(0.1, (0, 0, 0)), names=("a", "b", "d")), "names"),
        (trajectory(Point(0.1, (0, 0, 0)), Point(0.1, (0, 0, 0))), "increase"),
        (trajectory(Point(0.1, (0, 0, 0), (0, 0.1, 0))), "velocity"),
        (trajectory(Point(0.1, (0, 0, 0)), starts_in=-0.2), "past"),
        (trajectory(Point(0.1, (0, 0))), "number"),
    ],
)
def test_jtc_refuses(wrong: Trajectory, reason: str) -> None:
    assert reason in Follower(NAMES, np.zeros(3)).refuses(wrong)


def test_jtc_takes_what_it_should_not() -> None:
    follower = Follower(NAMES, np.zeros(3))
    assert not follower.refuses(trajectory(Point(0.1, (math.nan, math.inf, 99))))
    assert not follower.refuses(trajectory(Point(0.1, (0, 0, 0)), starts_in=-0.05))


def test_jtc_maps_names_and_holds_after_the_last_point() -> None:
    follower = Follower(NAMES, np.zeros(3))
    follower.start(trajectory(Point(0.2, (0.3, 0.1, 0.2)), names=("c", "a", "b")), 5.0, np.zeros(3))
    assert follower.advance(5.1, np.zeros(3)) == pytest.approx([0.05, 0.1, 0.15])
    assert follower.advance(99.0, np.zeros(3)) == pytest.approx([0.1, 0.2, 0.3])
    assert not follower.holding


@pytest.mark.parametrize(("desired", "start"), [(False, 0.0), (True, 0.2)])
def test_jtc_begins_at_the_measured_or_at_the_desired_position(desired: bool, start: float) -> None:
    follower = Follower(NAMES, np.full(3, 0.2))
    follower.interpolate_from_desired = desired
    follower.start(trajectory(Point(0.1, (0.4, 0.4, 0.4))), 5.0, np.zeros(3))
    assert follower.advance(5.0, np.zeros(3)) == pytest.approx([start] * 3)


def test_jtc_counts_its_timeout_from_the_end_and_holds_the_measured_position() -> None:
    follower = Follower(NAMES, np.zeros(3))
    follower.cmd_timeout = 0.5
    follower.start(trajectory(Point(2.0, (0.4, 0.4, 0.4))), 5.0, np.zeros(3))
    assert follower.advance(7.4, np.full(3, 0.39)) == pytest.approx([0.4] * 3)
    assert follower.advance(7.6, np.full(3, 0.39)) == pytest.approx([0.39] * 3)
    assert follower.holding


def test_jtc_cubic_where_velocities_are_given() -> None:
    follower = Follower(NAMES, np.zeros(3))
    follower.start(trajectory(Point(1.0, (1.0, 0, 0), (0, 0, 0))), 0.0, np.zeros(3))
    assert follower.advance(0.5, np.zeros(3))[0] == pytest.approx(0.5)
    assert follower.advance(0.25, np.zeros(3))[0] == pytest.approx(3 * 0.25**2 - 2 * 0.25**3)


# -- xs_sdk ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("profile", [0.15, 2.0])
def test_a_move_takes_the_time_of_its_profile(clock: Clock, plant: Plant, profile: float) -> None:
    motors = Motors(plant)
    motors.profile = profile
    motors.go(np.array([0.2, 0, 0]))
    clock.run(profile * 0.5, motors)
    assert motors.plant.setpoint[0] == pytest.approx(0.1, abs=0.02)
    clock.run(profile * 0.5 + 0.2, motors)
    assert plant.q[0] == pytest.approx(0.2, abs=1e-3)


def test_a_hold_under_a_long_profile_still_moves_for_long(clock: Clock, plant: Plant) -> None:
    motors = Motors(plant)
    motors.go(np.array([0.8, 0, 0]))
    clock.run(0.8, motors)
    motors.go(plant.measured())
    stopped_at = plant.q[0]
    clock.run(0.4, motors)
    assert abs(plant.q[0] - stopped_at) > 0.05


def test_mode_change_drops_the_arm_and_other_modes_ignore_goals(clock: Clock, plant: Plant) -> None:
    motors = Motors(plant)
    motors.set_mode("velocity", 0, 0, 0.2)
    assert plant.q[1] > 0.05
    assert plant.disasters == ["operating mode changed", "torque off"]
    before = plant.q.copy()
    motors.go(np.array([0.5, 0.5, 0.5]))
    clock.run(0.5, motors)
    assert plant.q == pytest.approx(before, abs=0.02)


def test_pwm_persists_and_a_lasting_squeeze_ends_in_overload() -> None:
    gripper = Gripper(object_at=0.02, overload_after=2.0)
    gripper.pwm = -250
    for _ in range(100):
        gripper.advance(0.01)
    assert gripper.finger == 0.02
    for _ in range(200):
        gripper.advance(0.01)
    assert not gripper.torque
    assert CLOSED < gripper.finger < OPEN
