"""Arms that take joint targets: inverse kinematics, limits, stops, and commands derived again from a recording."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor_node.announcements import PolicyAnnouncement
from supervisor_node.arms.description import urdf_of
from supervisor_node.arms.joint import JointArm
from supervisor_node.arms.profile import load_profile
from supervisor_node.audit import Auditor
from supervisor_node.audit.contents import SeenJoints, SeenPose, SentGroup, SentTrajectory
from supervisor_node.states import Source, State
from supervisor_node.values import Command, Measured, Motion, Pose
from vla_uq.contracts import Chunk, Key, Reference, Score, Space
from vla_uq.geometry import rotation_matrix, rotation_vector

pytest.importorskip("pink", reason="inverse kinematics is not installed: pip install 'vla_monitor[ik]'")

EE = ("x", "y", "z", "rx", "ry", "rz")
ARMS = {"franka_jtc": "fr3", "widowx_xs": "wx250s", "widowx_jtc": "wx250s"}


def described(name: str) -> JointArm:
    profile = load_profile(name)
    arm = JointArm(profile)
    assert profile.kinematics is not None
    assert arm.lacks and arm.describe(urdf_of(ARMS[name], profile.joints.names, profile.kinematics.tip)) == ""
    assert not arm.lacks
    return arm


@pytest.fixture(scope="module", params=ARMS)
def arm(request: pytest.FixtureRequest) -> JointArm:
    return described(request.param)


def home(arm: JointArm) -> np.ndarray:
    assert arm.profile.kinematics is not None
    return arm.profile.kinematics.posture


def measured(arm: JointArm, q: Any = None, qd: Any = None, stamp: tuple[int, int] = (0, 0)) -> Measured:
    joints = home(arm) if q is None else np.asarray(q, float)
    pose = arm.pose(joints)
    assert pose is not None
    return Measured(
        joints, np.zeros(len(joints)) if qd is None else qd, dataclasses.replace(pose, stamp=stamp), 1.0, stamp
    )


def chunk(
    space: Space, actions: Any, names: tuple[str, ...] = EE, reference: Reference = Reference.MEASURED, step: int = 0
) -> Chunk:
    values = np.asarray(actions, np.float32)
    return Chunk(Key(bytes(16), step, "e", step), space, names, values, np.zeros(0, np.float32), 0.05, 4, reference)


def straight(arm: JointArm, length: float = 0.005, steps: int = 8) -> Chunk:
    """Absolute poses along x, from the arm's posture."""
    start = measured(arm).pose
    turn = rotation_vector(start.rotation)
    return chunk(Space.EE_POSE, [[*(start.position + [length * (i + 1), 0, 0]), *turn] for i in range(steps)])


def test_forward_kinematics_are_those_of_the_numbers() -> None:
    """WidowX stretched out along x: .04975 + .175 + .075 + .065 + .0936 m, at .072 + .03865 + .25 m."""
    found = described("widowx_xs").pose(np.zeros(6))
    assert (
        found is not None
        and np.allclose(found.position, [0.45835, 0, 0.36065])
        and np.allclose(found.rotation, np.eye(3))
    )
    panda = described("franka_jtc").pose(np.array([0, -0.161, 0, -2.4446, 0, 2.2268, math.pi / 4]))
    assert panda is not None and np.allclose(panda.position, [0.45115, 0, 0.254376], atol=1e-5)


def test_a_path_of_poses_is_followed_and_stays_inside_the_limits(arm: JointArm) -> None:
    plan, now = straight(arm), measured(arm)
    solution = arm.solve(plan, now, None)
    assert solution.problem == "" and solution.path is not None
    last: Motion | None = None
    for index in range(plan.horizon):
        last = arm.plan(plan, index, now, last, solution.path)
        assert last.joints is not None and not last.limited
        pose = arm.pose(last.joints)
        assert pose is not None
        assert np.allclose(pose.position, plan.actions[index, :3], atol=1e-4)
        assert np.abs(rotation_vector(pose.rotation @ now.pose.rotation.T)).max() < 1e-3
    again = arm.solve(plan, now, None)
    assert again.path is not None and np.array_equal(again.path, solution.path), "the same bytes twice"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-3, 3), min_size=6, max_size=6),
    st.lists(st.floats(-1, 1), min_size=6, max_size=6),
    st.sampled_from([Space.EE_DELTA, Space.EE_POSE]),
)
def test_no_command_leaves_the_limits(delta: list[float], off: list[float], space: Space) -> None:
    arm = WIDOWX
    joints, longest = arm.profile.joints, arm.profile.step.joints
    now = measured(arm, np.clip(home(arm) + off, joints.lower, joints.upper))
    wild = chunk(space, [np.multiply(delta, 0.05 if space is Space.EE_DELTA else 1.0)])
    solution = arm.solve(wild, now, None)
    if not solution.problem:
        motion = arm.plan(wild, 0, now, None, solution.path)
        assert motion.joints is not None and np.isfinite(motion.joints).all()
        assert (motion.joints >= joints.lower).all() and (motion.joints <= joints.upper).all()
        assert (np.abs(motion.joints - now.q) <= longest + 1e-9).all()


WIDOWX = described("widowx_xs")


def test_out_of_reach_is_refused_with_the_action_and_the_distance(arm: JointArm) -> None:
    start = measured(arm).pose
    far = chunk(
        Space.EE_POSE, [[*(start.position + [0, 0.3 * i, 0]), *rotation_vector(start.rotation)] for i in range(9)]
    )
    assert "m from what the arm can reach" in arm.solve(far, measured(arm), None).problem


def test_a_leap_between_two_solutions_is_refused(arm: JointArm) -> None:
    start = measured(arm).pose
    turn = rotation_vector(start.rotation)
    leap = chunk(Space.EE_POSE, [[*start.position, *turn], [*(start.position + [0, 0.15, 0]), *turn]])
    assert "turns by" in arm.solve(leap, measured(arm), None).problem


def test_measured_deltas_are_proved_at_release_and_solved_as_they_are_sent(arm: JointArm) -> None:
    steps = chunk(Space.EE_DELTA, [[0.004, 0, 0, 0, 0, 0]] * 3)
    now = measured(arm)
    assert arm.solve(steps, now, None).path is None
    first = arm.plan(steps, 0, now, None)
    moved = measured(arm, first.joints)
    second = arm.plan(steps, 1, moved, first)
    assert first.joints is not None and second.joints is not None
    ends = [arm.pose(motion.joints) for motion in (first, second) if motion.joints is not None]
    assert np.allclose([e.position[0] - now.pose.position[0] for e in ends if e], [0.004, 0.008], atol=1e-4)
    lagging = arm.plan(steps, 1, now, first)
    assert lagging.joints is not None and np.allclose(lagging.joints, first.joints, atol=1e-3), "from the measured pose"


def test_deltas_on_the_previous_target_add_up(arm: JointArm) -> None:
    steps = chunk(Space.EE_DELTA, [[0.004, 0, 0, 0, 0, 0]] * 3, reference=Reference.PREVIOUS)
    path = arm.solve(steps, measured(arm), None).path
    assert path is not None
    end = arm.pose(path[-1])
    assert end is not None and end.position[0] - measured(arm).pose.position[0] == pytest.approx(0.012, abs=1e-4)


def test_joint_chunks_go_by_name_and_velocities_are_integrated(arm: JointArm) -> None:
    names, q = arm.profile.joints.names[::-1], home(arm)
    target = chunk(Space.JOINT_POSITION, [q[::-1] + 0.03, q[::-1] + 0.06], names)
    now = measured(arm)
    motion = arm.plan(target, 0, now, None, arm.solve(target, now, None).path)
    assert motion.joints is not None and np.allclose(motion.joints, q + 0.03, atol=1e-6)
    speed = chunk(Space.JOINT_VELOCITY, np.full((4, len(q)), 0.2), names)
    assert not arm.solve(speed, now, None).problem
    last: Motion | None = None
    for index in range(4):
        last = arm.plan(speed, index, now, last)
        assert last.joints is not None and np.allclose(last.joints, q + 0.01 * (index + 1), atol=1e-6)
        assert not last.limited
    assert "turns by" in arm.check(chunk(Space.JOINT_VELOCITY, np.full((1, len(q)), 40.0), names))
    assert "turns by" in arm.solve(chunk(Space.JOINT_POSITION, [q[::-1], q[::-1] - 0.9], names), now, None).problem


def test_what_a_policy_announces_must_be_executable(arm: JointArm) -> None:
    period = arm.profile.period
    fits = PolicyAnnouncement(b"P" * 16, "f", Space.EE_DELTA, Reference.MEASURED, EE, 16, 6, period, 6)
    assert arm.refuses(fits) == ""
    assert "reference" in arm.refuses(dataclasses.replace(fits, reference=Reference.OBSERVATION))
    assert "step_duration" in arm.refuses(dataclasses.replace(fits, step_duration=0.5))
    joints = dataclasses.replace(fits, space=Space.JOINT_POSITION, names=("a",) * len(home(arm)), dim=len(home(arm)))
    assert "policy.names" in arm.refuses(joints)
    assert "robot_description" in JointArm(arm.profile).refuses(fits)


def test_the_device_is_followed_in_steps(arm: JointArm) -> None:
    now = measured(arm)
    wish = Pose(now.pose.position + [0, 0.04, 0], rotation_matrix([0, 0, 0.02]) @ now.pose.rotation)
    assert arm.joins_pose(wish, now) == ""
    last: Motion | None = None
    for _ in range(20):
        before = home(arm) if last is None or last.joints is None else last.joints
        last = arm.follow(wish, now, last)
        assert last.joints is not None and (np.abs(last.joints - before) <= arm.profile.step.joints + 1e-9).all()
    reached = arm.reference(now, last)
    assert np.allclose(reached.position, wish.position, atol=1e-4)
    assert "m away" in arm.joins_pose(Pose(now.pose.position + [0.5, 0, 0], now.pose.rotation), now)


def test_a_hold_is_the_last_target_or_where_the_arm_can_stop(arm: JointArm) -> None:
    q, count = home(arm), len(home(arm))
    ahead = Motion(joints=q + 0.05)
    assert np.allclose(arm.brake(measured(arm), ahead), q + 0.05), (
        "an arm at rest keeps its reference: no sag, no spring"
    )
    slow = measured(arm, qd=np.full(count, 0.2))
    assert np.allclose(arm.brake(slow, ahead), q + 0.05), "it comes to rest at the target that it has"
    fast = measured(arm, qd=np.full(count, 1.5))
    assert np.allclose(arm.brake(fast, ahead), q + 1.5**2 / 20), "it cannot stop before"
    lost = Motion(joints=q + 1.0)
    assert np.allclose(arm.brake(measured(arm), lost), q + arm.profile.braking.lead)


def trace(arm: JointArm, plan: Chunk) -> list[tuple[float, Any]]:
    """A recording of one chunk, executed."""
    recording: list[tuple[float, Any]] = [(0.0, plan), (0.01, Score(plan.key, plan.digest, 0.1, 1.0, False))]
    last: Motion | None = None
    path: Any = None
    for index in range(plan.horizon):
        at, stamp = 0.05 * (index + 1), (1, index)
        q = home(arm) if last is None or last.joints is None else last.joints
        now = measured(arm, q, stamp=stamp)
        path = arm.solve(plan, now, last).path if index == 0 else path
        reference, last = arm.reference(now, last), arm.plan(plan, index, now, last, path)
        command = Command(
            Source.POLICY, State.AUTONOMOUS, last, None, stamp, now.pose, reference, plan.key, plan.digest, index
        )
        recording += [(at, SeenJoints(arm.profile.joints.names, q, stamp)), (at, SeenPose(now.pose)), (at, command)]
        assert last.joints is not None
        if arm.profile.kind == "jtc":
            zero = np.zeros(len(last.joints))
            recording.append((at, SentTrajectory(arm.profile.joints.names, last.joints, arm.profile.reach, zero)))
        else:
            recording.append((at, SentGroup(last.joints.astype(np.float32).astype(float))))
    return recording


def audited(arm: JointArm, recording: list[tuple[float, Any]]) -> Any:
    auditor = Auditor(arm)
    for at, content in recording:
        auditor.take(at, content)
    return auditor.finish()


@pytest.mark.parametrize("space", [Space.EE_POSE, Space.EE_DELTA])
def test_every_command_is_derived_again(arm: JointArm, space: Space) -> None:
    plan = straight(arm) if space is Space.EE_POSE else chunk(space, [[0.004, 0, 0, 0, 0, 0.01]] * 6)
    report = audited(arm, trace(arm, plan))
    assert report.ok, report.violations
    assert report.policy_commands == plan.horizon and report.unattested == 0 and report.unrecorded == 0
    assert report.largest_derivation_error < 1e-9


def test_a_command_that_does_not_follow_is_found(arm: JointArm) -> None:
    recording = trace(arm, straight(arm))
    bent = [
        (at, dataclasses.replace(c, motion=Motion(joints=c.motion.joints + 1e-4)))
        if isinstance(c, Command) and c.index == 3 and c.motion.joints is not None
        else (at, c)
        for at, c in recording
    ]
    assert audited(arm, bent).violated("derived")


def test_without_joint_states_the_first_command_is_unattested_only(arm: JointArm) -> None:
    blind = [(at, c) for at, c in trace(arm, straight(arm)) if not isinstance(c, SeenJoints)]
    report = audited(arm, blind)
    assert report.ok and report.unattested >= 1


def test_a_trajectory_that_is_long_or_does_not_end_at_rest_is_found() -> None:
    arm = described("widowx_jtc")
    names, q = arm.profile.joints.names, home(arm)
    long = SentTrajectory(names, q, 1.0, np.zeros(6))
    fast = SentTrajectory(names, q, 0.1, np.full(6, 0.1))
    gripper = SentTrajectory(("left_finger",), np.array([0.02]), 0.5, np.zeros(1))
    report = audited(arm, [(0.0, long), (0.1, fast), (0.2, gripper)])
    assert report.violated("I3") == 2 and report.unrecorded == 2
