"""CRISP's interface and its quirks."""

from __future__ import annotations

import numpy as np
import pytest

from sim_node.control import SUBSTEPS
from sim_node.crisp import CrispArm
from sim_node.panda import JOINTS

TASK = "put the red cube in the basket"
DOWN = (1.0, 0.0, 0.0, 0.0)  # x, y, z, w: the hand points down


@pytest.fixture
def arm(bed):
    arm = CrispArm(bed)
    arm.reset(TASK, 0, "none")
    return arm


def run(arm, seconds=1.5):
    arm.advance(round(seconds / 0.05) * SUBSTEPS)


def test_before_any_command_the_joints_are_held_and_no_step_counts(arm):
    before = arm.bed.joints()
    run(arm, 3.0)
    assert np.abs(arm.bed.joints() - before).max() < 1e-3
    assert arm.bed.step == 0


def test_pose_target_is_reached_and_kept(arm):
    goal = arm.bed.pose()[0] + [0.05, 0.05, -0.05]
    assert arm.target_pose(goal, DOWN)
    run(arm)
    assert np.linalg.norm(arm.bed.pose()[0] - goal) < 0.01
    run(arm, 3.0)
    assert np.linalg.norm(arm.bed.pose()[0] - goal) < 0.01, "no command expires"
    assert arm.bed.step == 90


def test_newest_kind_wins(arm):
    start = arm.bed.joints()
    arm.target_pose(arm.bed.pose()[0] + [0.1, 0, 0], DOWN)
    run(arm, 0.3)
    assert arm.target_joint([], start)
    run(arm)
    assert np.abs(arm.bed.joints() - start).max() < 0.01
    arm.target_pose(arm.bed.pose()[0] + [0, 0.05, 0], DOWN)
    run(arm)
    assert np.abs(arm.bed.joints() - start).max() > 0.05


def test_joints_are_mapped_by_name(arm):
    wanted = arm.bed.joints() + 0.05 * np.arange(1, 8) / 7
    assert arm.target_joint(JOINTS[::-1], wanted[::-1])
    run(arm)
    assert arm.bed.joints() == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (lambda arm: arm.target_pose((np.nan, 0, 0), DOWN), "not finite"),
        (lambda arm: arm.target_pose((0, 0, 0), (np.inf, 0, 0, 0)), "not finite"),
        (lambda arm: arm.target_pose((0, 0), DOWN), "wrong length"),
        (lambda arm: arm.target_pose((0, 0, 0), (0, 0, 0, 0)), "not a rotation"),
        (lambda arm: arm.target_joint([], [0.0] * 6), "wrong length"),
        (lambda arm: arm.target_joint([], []), "wrong length"),
        (lambda arm: arm.target_joint([], [np.nan] * 7), "not finite"),
        (lambda arm: arm.target_joint(["a"] * 7, [0.0] * 7), "unknown joints"),
        (lambda arm: arm.gripper([]), "wrong length"),
        (lambda arm: arm.gripper([0.0, 0.0]), "wrong length"),
        (lambda arm: arm.gripper([np.nan]), "not finite"),
        (lambda arm: arm.target_pose((0, 0, 0.3), DOWN, publishers=2), "several publishers"),
        (lambda arm: arm.target_joint([], [0.0] * 7, publishers=2), "several publishers"),
    ],
)
def test_what_makes_no_sense_changes_nothing_and_is_counted(arm, command, reason):
    before = arm.bed.joints()
    ignored = arm.ignored[reason]
    assert not command(arm)
    assert arm.ignored[reason] == ignored + 1
    run(arm, 0.5)
    assert np.abs(arm.bed.joints() - before).max() < 1e-3
    assert arm.bed.controller.gripper == 1.0 and arm.bed.step == 0


def test_two_publishers_freeze_at_the_last_target(arm):
    goal = arm.bed.pose()[0] + [0.05, 0, 0]
    arm.target_pose(goal, DOWN, publishers=1)
    arm.target_pose(goal + [0.1, 0.1, 0.1], DOWN, publishers=2)
    run(arm)
    assert np.linalg.norm(arm.bed.pose()[0] - goal) < 0.01


@pytest.mark.parametrize(("wanted", "width"), [(0.0, 0.0), (0.5, 0.04), (7.0, 0.08), (-3.0, 0.0)])
def test_gripper_opening_is_clipped_and_reached(arm, wanted, width):
    assert arm.gripper([wanted])
    run(arm)
    assert arm.bed.scene.width == pytest.approx(width, abs=0.002)


def test_hold_controller_holds_at_once_and_gives_back_without_a_jump(arm):
    arm.target_pose(arm.bed.pose()[0] + [0.1, 0, 0], DOWN)
    run(arm, 0.3)
    at = arm.bed.joints()
    arm.hold(True)
    run(arm, 0.3)
    held = arm.bed.joints()
    assert np.abs(held - at).max() < 0.05
    assert not arm.target_pose(arm.bed.pose()[0] + [0, 0.1, 0], DOWN) and not arm.target_joint([], at + 0.1)
    assert arm.ignored["the hold controller is active"] == 2 and arm.gripper([0.0])
    run(arm, 1.0)
    assert np.abs(arm.bed.joints() - held).max() < 2e-3
    arm.hold(False)
    run(arm, 1.0)
    assert np.abs(arm.bed.joints() - held).max() < 5e-3, "nothing moves before a new target"
    assert arm.target_pose(arm.bed.pose()[0] + [0, 0.05, 0], DOWN)


def test_a_reset_of_the_scene_ends_the_hold(arm):
    arm.hold(True)
    arm.reset(TASK, 1, "none")
    assert not arm.held and arm.target_pose(arm.bed.pose()[0], DOWN)
