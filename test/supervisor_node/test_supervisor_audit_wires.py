"""The auditor on arms that take joint targets: the deadman's commands, grippers, and topics of other names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from supervisor_node.arms import open_arm
from supervisor_node.arms.parts import Sources
from supervisor_node.audit import Auditor, Report, read, roles_of
from supervisor_node.audit.contents import (
    Announced,
    Backed,
    SeenJoints,
    SeenPose,
    SentGroup,
    SentSingle,
    SentTrajectory,
)
from supervisor_node.states import Mode, Reason, Risk, Source, State
from supervisor_node.values import NO_KEY, Command, Motion, Pose, Snapshot

Q = np.array([0.1, -0.2, 0.3, 0.0, 0.4, 0.0])
POSE = Pose(np.zeros(3), np.eye(3))
HOLD = Command(Source.NONE, State.HALTED, Motion(joints=Q), None, (1, 0), POSE, POSE)
HALTED = Announced(
    Snapshot(
        State.HALTED, State.HALTING, Reason.OPERATOR, "", Mode.GUARD, Source.NONE, False, False, Risk.OK, "", NO_KEY,
        True, 0.1, (), 0,
    )
)  # fmt: skip


def audit(*trace: tuple[float, Any], arm: str = "widowx_xs") -> Report:
    auditor = Auditor(open_arm(arm))
    for at, content in ((0.0, HALTED), (0.1, HOLD), (0.1, SentGroup(Q)), *trace):
        auditor.take(at, content)
    return auditor.finish()


def said(report: Report) -> list[tuple[str, str]]:
    return [(violation.rule, violation.text) for violation in report.violations]


def test_the_deadmans_hold_is_its_own() -> None:
    report = audit((0.5, Backed(Q, (2, 0))), (0.5, SentGroup(Q.astype(np.float32).astype(float))))
    assert report.ok and report.deadman_holds == 1 and report.unrecorded == report.unseen == 0


def test_a_target_like_the_deadmans_without_its_record_is_somebody_elses() -> None:
    report = audit((0.5, SentGroup(Q)))
    assert report.unrecorded == 1 and said(report) == [("I1", "a target that the supervisor has no record of")]


@pytest.mark.parametrize(
    ("at", "q", "rule", "text"),
    [
        (0.1, Q, "I1", "the deadman held the arm 0.100 s after the supervisor spoke"),
        (0.5, Q + 1e-6, "I1", "not where the arm was last sent"),
        (0.5, Q * np.nan, "I3", "not finite"),
        (0.5, Q[:5], "I3", "outside of their limits"),
    ],
)
def test_what_the_deadman_may_not(at: float, q: Any, rule: str, text: str) -> None:
    found = said(audit((at, Backed(q, (2, 0)))))
    assert any(rule == broken and text in why for broken, why in found), found


def test_pwm_stays_within_the_profiles_and_moves_the_gripper_alone() -> None:
    assert audit(*((0.2, SentSingle("gripper", pwm)) for pwm in (-250.0, -150.0, 0.0, 250.0))).ok
    assert said(audit((0.2, SentSingle("gripper", 251.0))))[0][0] == "I3"
    assert said(audit((0.2, SentSingle("gripper", float("nan")))))[0][0] == "I3"
    report = audit((0.2, SentSingle("waist", 0.1)))
    assert report.unrecorded == 1 and said(report)[0][0] == "I1"


@pytest.mark.parametrize(("place", "ok"), [(0.015, True), (0.037, True), (0.04, False), (float("nan"), False)])
def test_a_finger_stays_between_its_ends(place: float, ok: bool) -> None:
    arm = SentTrajectory(("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate"), Q, 0.1, Q * 0)
    auditor = Auditor(open_arm("widowx_jtc"))
    for content in (HALTED, HOLD, arm, SentTrajectory(("left_finger",), np.array([place]), 0.5, np.zeros(1))):
        auditor.take(0.1, content)
    assert auditor.finish().ok is ok


def test_arms_that_are_seen_on_topics_of_other_names() -> None:
    header = SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=2))
    joints = SimpleNamespace(header=header, name=["a"], position=[0.5])
    zero = SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0)
    pose = SimpleNamespace(header=header, pose=SimpleNamespace(position=zero, orientation=zero))
    roles = roles_of(Sources(("broadcaster/measured",), "broadcaster/tip"))
    assert isinstance(read("/left/broadcaster/measured", joints, roles), SeenJoints)
    assert isinstance(read("/left/broadcaster/tip", pose, roles), SeenPose)
    assert read("/left/broadcaster/tip", pose) is None
    assert isinstance(read("/joint_states", joints, roles), SeenJoints)
    assert roles_of(Sources(("joint_states",), "")) == {"joint_states": "joint_states"}
