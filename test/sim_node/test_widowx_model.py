"""The WidowX-250s: kinematics against the numbers that it is built from, limits, reach, time profile, torque."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_node.bed import Bed
from sim_node.engine import mujoco
from sim_node.robots import ROBOTS
from sim_node.scene import Scene
from sim_node.tasks import TASKS_OF
from sim_node.widowx.ik import STEP, InverseKinematics
from sim_node.widowx.model import CHAIN, GRIP, LOWER, SPEED, UPPER, WIDOWX
from sim_node.widowx.profile import TimeProfile
from vla_uq.errors import InputError
from vla_uq.geometry import rotation_matrix

DOWN = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
TASK = "put the carrot on the plate"
# The vendor's xacro, written out once more: origins (m), axes, limits (deg), efforts (N m).
ORIGINS = [(0, 0, 0.072), (0, 0, 0.03865), (0.04975, 0, 0.25), (0.175, 0, 0), (0.075, 0, 0), (0.065, 0, 0)]
AXES = [(0, 0, 1), (0, 1, 0), (0, 1, 0), (1, 0, 0), (0, 1, 0), (1, 0, 0)]
LIMITS = [(-180, 180), (-108, 114), (-123, 92), (-180, 180), (-100, 123), (-180, 180)]
EFFORTS = [10, 20, 15, 2, 5, 1]


@pytest.fixture(scope="module")
def scene():
    return Scene((), robot=WIDOWX)


def forward(q):
    """Product of the chain's transforms."""
    position, rotation = np.zeros(3), np.eye(3)
    for origin, axis, angle in zip(ORIGINS, AXES, q, strict=True):
        position = position + rotation @ np.array(origin)
        rotation = rotation @ rotation_matrix(np.array(axis, float) * angle)
    return position + rotation @ [0.0936, 0, 0], rotation


def pose(scene, q):
    scene.data.qpos[scene.arm] = q
    scene.forward()
    return scene.position, scene.rotation


def test_forward_kinematics_at_zero_is_the_sum_of_the_origins(scene):
    position, rotation = pose(scene, np.zeros(6))
    assert position == pytest.approx([0.04975 + 0.175 + 0.075 + 0.065 + GRIP, 0, 0.072 + 0.03865 + 0.25], abs=1e-9)
    assert rotation == pytest.approx(np.eye(3), abs=1e-9)


def test_forward_kinematics_all_over_the_joints(scene):
    rng = np.random.default_rng(0)
    for q in rng.uniform(LOWER, UPPER, (50, 6)):
        for found, expected in zip(pose(scene, q), forward(q), strict=True):
            assert found == pytest.approx(expected, abs=1e-6)


def test_reach_is_that_of_the_data_sheet(scene):
    """650 mm from the waist's axis: the arm stretched out level."""
    lift = np.arctan2(0.25, 0.04975)
    position, _ = pose(scene, [0, lift, -lift, 0, 0, 0])
    assert position[0] == pytest.approx(np.hypot(0.25, 0.04975) + 0.175 + 0.075 + 0.065 + GRIP, abs=1e-6)
    assert position[0] == pytest.approx(0.65, abs=0.02)


def test_limits_and_efforts(scene):
    model = scene.model
    for i, joint in enumerate(CHAIN):
        assert model.joint(joint.name).range == pytest.approx(np.radians(LIMITS[i]), abs=1e-5)
        assert model.actuator_forcerange[i] == pytest.approx([-EFFORTS[i], EFFORTS[i]])
    masses = [model.body(f"{joint.name}_link").mass[0] for joint in CHAIN]
    assert masses == pytest.approx([0.4809, 0.4308, 0.2346, 0.2210, 0.0850, 0.0729])
    assert model.body("base").mass[0] == pytest.approx(0.5387)
    for name, (low, high) in {"left_finger": (0.015, 0.037), "right_finger": (-0.037, -0.015)}.items():
        assert model.joint(name).range == pytest.approx([low, high])


def test_home_points_the_hand_down_above_the_table(scene):
    position, rotation = pose(scene, WIDOWX.home)
    assert position == pytest.approx([0.22, 0, 0.22], abs=0.005)
    assert rotation[:, WIDOWX.approach] == pytest.approx([0, 0, -1], abs=0.02)


@pytest.mark.parametrize("height", [0.012, 0.12])
def test_whole_box_and_what_is_outside_of_it_can_be_grasped_from_above(scene, height):
    kinematics = InverseKinematics(scene)
    low, high = WIDOWX.box
    for xy in [low, high, (low[0], high[1]), (high[0], low[1]), (low[0] - 0.08, 0), (high[0] + 0.06, 0)]:
        q = WIDOWX.home
        for _ in range(10):
            q = kinematics.solve(q, np.array([*xy, height]), DOWN)
        assert np.linalg.norm(pose(scene, q)[0] - [*xy, height]) < 0.002, f"{xy}"
        assert (q >= LOWER).all() and (q <= UPPER).all()


def test_a_step_of_the_joints_is_bounded_also_out_of_reach(scene):
    kinematics = InverseKinematics(scene)
    q = kinematics.step(WIDOWX.home, np.array([2.0, 0, 0.3]), DOWN)
    assert np.abs(q - WIDOWX.home).max() <= STEP + 1e-12 and np.isfinite(q).all()


# -- the time profile ------------------------------------------------------------------------------------------------
def run(profile, seconds, step=0.005):
    path = [profile.position.copy()]
    for _ in range(round(seconds / step)):
        profile.advance(step)
        path.append(profile.position.copy())
    return np.array(path)


def test_profile_takes_its_time_and_has_its_ramps():
    profile = TimeProfile(np.zeros(1), SPEED)
    profile.length[:], profile.ramp[:] = 2.0, 0.3
    profile.aim(np.array([0.34]))
    path = run(profile, 2.0)[:, 0]
    assert path[-1] == 0.34 and path[-2] < 0.34
    steady = 0.34 / (2.0 - 0.3)
    assert path[200] == pytest.approx(steady * (1.0 - 0.15)) and path[60] == pytest.approx(steady * 0.15)


def test_a_hold_under_a_long_profile_goes_on_ramping():
    """Why an adapter sets a short profile before it is needed."""
    profile = TimeProfile(np.zeros(1), SPEED)
    profile.aim(np.array([1.0]))
    run(profile, 1.0)
    here = profile.position.copy()
    profile.aim(here)
    path = run(profile, 2.0)
    assert np.abs(path - here).max() > 0.05
    assert path[-1] == here


def test_speed_limit_makes_a_far_goal_take_longer():
    profile = TimeProfile(np.zeros(1), SPEED)
    profile.length[:], profile.ramp[:] = 0.15, 0.05
    profile.aim(np.array([2.0]))
    path = run(profile, 1.0)[:, 0]
    assert np.diff(path).max() <= SPEED * 0.005 + 1e-9
    assert path[round(0.15 / 0.005)] < 0.5 and path[-1] == 2.0


@given(
    goals=st.lists(st.floats(-3, 3), min_size=1, max_size=8),
    length=st.floats(0, 3),
    ramp=st.floats(0, 2),
    wait=st.floats(0.005, 0.5),
)
@settings(max_examples=150, deadline=None)
def test_profile_always_arrives_without_a_leap(goals, length, ramp, wait):
    profile = TimeProfile(np.zeros(1), SPEED)
    profile.length[:], profile.ramp[:] = length, ramp
    for goal in goals:
        profile.aim(np.array([goal]))
        path = run(profile, wait)
        assert np.isfinite(path).all() and np.abs(np.diff(path[:, 0])).max() <= SPEED * 0.005 + 1e-6
    assert run(profile, 10.0)[-1] == pytest.approx(goals[-1])
    assert profile.velocity == pytest.approx(0)


# -- servos ----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def widowx():
    return Bed(render=False, robot="widowx")


def test_servos_reach_and_keep_their_goals_under_gravity(widowx):
    widowx.reset(TASK, 0)
    q = widowx.joints() + [0.3, 0.2, -0.2, 0.3, -0.3, 0.3]
    widowx.controller.hold_joints(q)
    widowx.advance(200)
    assert np.abs(widowx.joints() - q).max() < 0.01, "a droop of some millirad"
    before = widowx.joints()
    widowx.advance(400)
    assert np.abs(widowx.joints() - before).max() < 1e-4


def test_goal_outside_of_a_motors_limits_is_refused_by_that_motor_alone(widowx):
    widowx.reset(TASK, 0)
    goal = widowx.controller.profile.goal.copy()
    wanted = goal + [0.1, 9.0, 0, 0, 0, 0]
    widowx.controller.hold_joints(wanted)
    assert widowx.controller.profile.goal == pytest.approx(goal + [0.1, 0, 0, 0, 0, 0])


def test_without_torque_the_arm_falls_and_with_it_holds_where_it_is(widowx):
    widowx.reset(TASK, 0)
    height = widowx.pose()[0][2]
    widowx.controller.set_torque(False, [1, 2])
    assert [widowx.controller.torque(i) for i in range(6)] == [True, False, False, True, True, True]
    widowx.advance(60)
    caught, fallen = widowx.joints(), widowx.pose()[0][2]
    assert fallen < height - 0.03
    widowx.controller.set_torque(True, [1, 2])
    widowx.advance(200)
    assert np.abs(widowx.joints() - caught).max() < 0.15 and widowx.pose()[0][2] > fallen - 0.05
    widowx.controller.set_torque(False, list(range(6)))
    widowx.advance(600)
    assert widowx.pose()[0][2] < 0.1
    widowx.reset(TASK, 0)
    assert all(widowx.controller.torque(i) for i in range(6))


@pytest.mark.parametrize(("wanted", "low", "high"), [(0.0, -0.01, 0.03), (0.5, 0.4, 0.6), (1.0, 0.88, 1.0)])
def test_gripper_is_led_to_an_opening(widowx, wanted, low, high):
    widowx.reset(TASK, 0)
    widowx.controller.gripper = wanted
    widowx.advance(200)
    assert low <= widowx.controller.opening <= high
    left, right = widowx.scene.data.qpos[widowx.scene.fingers]
    assert left == pytest.approx(-right, abs=1e-3), "one motor moves both fingers"


def test_joint_hold_brings_the_moving_arm_to_rest(widowx):
    """Every joint's span over 200 ms below three units of a Dynamixel within .5 s."""
    for seed, task in enumerate(TASKS_OF["widowx"]):
        widowx.reset(task, seed)
        position, rotation = widowx.pose()
        for _ in range(8):
            widowx.step_pose(widowx.pose()[0] + [0.03, 0.03, -0.02], rotation, 1.0)
        assert np.abs(widowx.scene.joint_velocities).max() > 0.1
        widowx.controller.hold_joints(widowx.joints())
        path = [widowx.joints()]
        for _ in range(100):
            widowx.controller.advance(2)
            path.append(widowx.joints())
        spans = [np.ptp(path[i - 20 : i + 1], axis=0).max() for i in range(20, len(path))]
        assert next(i for i, span in enumerate(spans) if span < 0.0045) + 20 <= 50
        assert position.shape == (3,)


def test_unknown_robot_is_named():
    with pytest.raises(InputError) as error:
        Bed(render=False, robot="r2d2")
    assert error.value.where == "robot" and "widowx" in str(error.value.expected)


def test_robots_and_tasks_have_the_same_names():
    assert list(ROBOTS) == list(TASKS_OF)
    assert len({name for tasks in TASKS_OF.values() for name in tasks}) == sum(map(len, TASKS_OF.values()))
    assert mujoco.mj_id2name(Scene((), robot=WIDOWX).model, mujoco.mjtObj.mjOBJ_SITE, 0) == "grip"
