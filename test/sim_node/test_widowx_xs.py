"""xs_sdk's interface over the simulated WidowX, and its quirks."""

from __future__ import annotations

import numpy as np
import pytest

from sim_node.bed import Bed
from sim_node.control import SUBSTEPS
from sim_node.widowx.model import LOWER, UPPER
from sim_node.widowx.xs import ANGLE_UNIT, MODE_CHANGE, NAMES, XsArm

TASK = "put the carrot on the plate"


@pytest.fixture(scope="module")
def widowx():
    return Bed(render=False, robot="widowx")


@pytest.fixture
def arm(widowx):
    arm = XsArm(widowx)
    arm.reset(TASK, 0, "none")
    return arm


def quick(arm):
    """As an adapter sets it at activation."""
    arm.set_register("group", "arm", "Profile_Velocity", 150)
    arm.set_register("group", "arm", "Profile_Acceleration", 50)


def run(arm, seconds):
    arm.advance(round(seconds / 0.05) * SUBSTEPS)


def away(arm, q):
    return np.abs(arm.bed.joints() - q).max()


def test_before_any_goal_the_joints_are_held_and_no_step_counts(arm):
    before = arm.bed.joints()
    run(arm, 2.0)
    assert away(arm, before) < 0.01 and arm.bed.step == 0


def test_goal_is_reached_in_the_time_of_the_profile_and_kept_for_ever(arm):
    goal = arm.bed.joints() + [0.3, 0, 0, 0, 0, 0]
    assert arm.joint_group("arm", goal)
    run(arm, 1.0)
    assert arm.bed.joints()[0] == pytest.approx(goal[0] - 0.15, abs=0.02), "half-way under the vendor's two seconds"
    run(arm, 1.3)
    assert away(arm, goal) < 0.01
    run(arm, 5.0)
    assert away(arm, goal) < 0.01, "nothing expires"
    quick(arm)
    arm.joint_group("arm", goal - [0.3, 0, 0, 0, 0, 0])
    run(arm, 0.25)
    assert arm.bed.joints()[0] == pytest.approx(goal[0] - 0.3, abs=0.03)


def test_hold_stops_under_a_short_profile_and_goes_on_under_a_long_one(arm):
    stops = []
    for short in (False, True):
        arm.reset(TASK, 0, "none")
        start = arm.bed.joints()
        if short:
            quick(arm)
        goal = start.copy()
        for _ in range(14 if short else 20):
            goal = goal + ([0.05, 0, 0, 0, 0, 0] if short else [0.1, 0, 0, 0, 0, 0])
            arm.joint_group("arm", goal)
            run(arm, 0.05)
        here = arm.bed.joints()
        arm.joint_group("arm", here)
        path = []
        for _ in range(40):
            run(arm, 0.05)
            path.append(arm.bed.joints()[0] - here[0])
        stops.append(max(map(abs, path)))
    assert stops[0] > 2 * stops[1] and stops[1] < 0.1


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (lambda arm: arm.joint_group("arm", [0.0] * 5), "wrong length"),
        (lambda arm: arm.joint_group("arm", []), "wrong length"),
        (lambda arm: arm.joint_group("leg", [0.0] * 6), "unknown group"),
        (lambda arm: arm.joint_group("arm", [np.nan] * 6), "not finite"),
        (lambda arm: arm.joint_single("tail", 0.0), "unknown joint"),
        (lambda arm: arm.joint_single("gripper", np.nan), "not finite"),
    ],
)
def test_what_makes_no_sense_changes_nothing_and_is_counted(arm, command, reason):
    before = arm.bed.joints()
    assert not command(arm)
    assert arm.ignored[reason] == 1
    run(arm, 0.3)
    assert away(arm, before) < 0.01 and arm.bed.step == 0


def test_limits_are_the_motors_own_affair(arm):
    """The driver passes everything on; a motor refuses what lies outside of its limits, the others go."""
    quick(arm)
    start = arm.bed.joints()
    assert arm.joint_group("arm", start + [0.2, 9.0, 0, 0, 0, 0])
    run(arm, 1.0)
    assert away(arm, start + [0.2, 0, 0, 0, 0, 0]) < 0.02
    assert arm.ignored["outside of a motor's limits"] == 1


def test_torque_off_drops_the_arm_and_torque_on_catches_it(arm):
    height = arm.bed.pose()[0][2]
    arm.torque_enable("group", "arm", False)
    assert arm.registers("group", "arm", "Torque_Enable") == [0] * 6 and arm.limp() == list(NAMES)
    run(arm, 0.6)
    fallen = arm.bed.pose()[0][2]
    assert fallen < height - 0.04
    arm.joint_group("arm", arm.bed.robot.home)
    run(arm, 0.6)
    assert arm.bed.pose()[0][2] < height - 0.04, "goals move nothing without torque"
    arm.torque_enable("group", "arm", True)
    here = arm.bed.joints()
    run(arm, 1.0)
    assert away(arm, here) < 0.15 and not arm.limp(), "it holds where it is"


def test_change_of_the_mode_drops_the_arm_for_a_moment(arm):
    height = arm.bed.pose()[0][2]
    arm.set_operating_modes("group", "arm", "position", 150, 50)
    assert len(arm.limp()) == 6
    run(arm, MODE_CHANGE + 0.05)
    assert not arm.limp() and arm.registers("single", "elbow", "Profile_Velocity") == [150]
    run(arm, 0.5)
    assert arm.bed.pose()[0][2] < height - 0.003


def test_other_modes_take_no_positions(arm):
    arm.set_operating_modes("group", "arm", "velocity", 0, 0)
    run(arm, 0.5)
    here = arm.bed.joints()
    assert not arm.joint_group("arm", here + 0.2)
    assert arm.ignored["not in position mode"] == 1


def test_registers_are_written_one_by_one_and_read_back(arm):
    assert arm.registers("group", "arm", "Profile_Velocity") == [2000] * 6
    arm.set_register("single", "elbow", "Profile_Velocity", 150)
    assert arm.registers("group", "arm", "Profile_Velocity") == [2000, 2000, 150, 2000, 2000, 2000]
    arm.set_register("group", "arm", "Goal_PWM", 1)
    arm.set_register("group", "leg", "Profile_Velocity", 1)
    assert arm.registers("group", "arm", "Goal_PWM") == [] == arm.registers("group", "leg", "Profile_Velocity")
    quick(arm)
    arm.reset(TASK, 1, "none")
    assert arm.registers("group", "arm", "Profile_Velocity") == [150] * 6, "an episode is not a restart"


def test_robot_info_is_that_of_the_vendors_model(arm):
    motors = arm.info("group", "arm")
    assert [motor.name for motor in motors] == list(NAMES)
    assert np.array([motor.lower for motor in motors]) == pytest.approx(LOWER)
    assert np.array([motor.upper for motor in motors]) == pytest.approx(UPPER)
    assert [motor.sleep for motor in motors] == [0, -1.8, 1.55, 0, 0.8, 0]
    assert [motor.name for motor in arm.info("single", "gripper")] == ["left_finger"]
    assert arm.info("group", "leg") == []


def test_gripper_is_squeezed_until_it_is_told_otherwise(arm):
    controller = arm.bed.controller
    arm.joint_single("gripper", -250)
    run(arm, 1.0)
    assert controller.opening < 0.02 and arm.bed.scene.opening == 0
    arm.joint_single("gripper", 0)
    run(arm, 0.5)
    assert controller.opening < 0.05, "gears hold it"
    arm.joint_single("gripper", 250)
    run(arm, 1.0)
    assert controller.opening > 0.95 and arm.bed.scene.opening == 1


def test_measured_joints_come_in_whole_units_of_the_motors(arm):
    q, _ = arm.joints()
    assert q / ANGLE_UNIT == pytest.approx(np.round(q / ANGLE_UNIT))
    assert np.abs(q - arm.bed.joints()).max() <= ANGLE_UNIT / 2 + 1e-12
