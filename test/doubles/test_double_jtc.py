"""The trajectory controller and the controller manager over DDS, quirk by quirk."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytestmark = pytest.mark.ros
JTC = "fr3_arm_controller"
START = (0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785)


@pytest.fixture
def robot(rig: Any) -> Any:
    robot = rig.franka_jtc()
    rig.start()
    return robot


@pytest.fixture
def send(ros: Any, robot: Any) -> Any:
    """``send(offset, duration)``: a one-point trajectory of joint 1 on the topic; None as offset: an empty one."""
    from trajectory_msgs.msg import JointTrajectory

    publisher = ros.node.create_publisher(JointTrajectory, f"{JTC}/joint_trajectory", 10)
    ros.spin_until(publisher.get_subscription_count, what="the controller")

    def go(offset: float | None, duration: float = 0.1) -> None:
        before = len(robot.arm.received)
        publisher.publish(path(offset, duration))
        ros.spin_until(lambda: len(robot.arm.received) > before, what="the controller to hear")

    return go


def path(offset: float | None, duration: float = 0.1) -> Any:
    from rclpy.duration import Duration
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

    message = JointTrajectory(joint_names=[f"fr3_joint{i}" for i in range(1, 8)])
    if offset is not None:
        positions = [START[0] + offset, *START[1:]]
        time = Duration(seconds=duration).to_msg()
        message.points.append(JointTrajectoryPoint(positions=positions, time_from_start=time))
    return message


def act(ros: Any, offset: float, duration: float) -> Any:
    """Send a goal; its handle."""
    from control_msgs.action import FollowJointTrajectory
    from rclpy.action import ActionClient

    client = ActionClient(ros.node, FollowJointTrajectory, f"{JTC}/follow_joint_trajectory")
    ros.spin_until(client.server_is_ready, what="the action")
    future = client.send_goal_async(FollowJointTrajectory.Goal(trajectory=path(offset, duration)))
    ros.spin_until(future.done)
    return future.result()


def cancel_all(ros: Any) -> Any:
    from action_msgs.srv import CancelGoal

    return ros.call(CancelGoal, f"{JTC}/follow_joint_trajectory/_action/cancel_goal", CancelGoal.Request())


def result(ros: Any, handle: Any) -> Any:
    future = handle.get_result_async()
    ros.spin_until(future.done)
    return future.result()


def test_topic_moves_and_an_empty_trajectory_does_not_stop(ros: Any, robot: Any, send: Any) -> None:
    send(0.6, 1.5)
    ros.spin_until(lambda: robot.plant.q[0] > 0.1)
    send(None)
    assert robot.arm.refused == ["empty trajectory"]
    ros.spin_until(lambda: robot.plant.q[0] > 0.55, what="the motion to go on")


def test_cancel_does_nothing_to_a_topic_trajectory_but_a_hold_point_does(ros: Any, robot: Any, send: Any) -> None:
    send(0.6, 2.0)
    ros.spin_until(lambda: robot.plant.q[0] > 0.05)
    assert not cancel_all(ros).goals_canceling
    ros.spin_until(lambda: robot.plant.q[0] > 0.2, what="the motion to go on")
    send(float(robot.plant.q[0]))
    ros.spin_until(lambda: robot.plant.at_rest)
    assert robot.plant.q[0] < 0.5


def test_cancel_of_all_goals_holds_the_measured_position(ros: Any, robot: Any) -> None:
    handle = act(ros, 0.6, 2.0)
    ros.spin_until(lambda: robot.plant.q[0] > 0.1)
    assert len(cancel_all(ros).goals_canceling) == 1
    ros.spin_until(lambda: robot.plant.at_rest)
    assert robot.plant.q[0] < 0.5
    assert result(ros, handle).status == 5  # canceled


def test_a_goal_succeeds_at_its_end_and_a_wrong_one_is_rejected(ros: Any, robot: Any) -> None:
    assert result(ros, act(ros, 0.05, 0.2)).status == 4  # succeeded
    robot.manager.deactivate(JTC)
    assert not act(ros, 0.05, 0.2).accepted
    assert robot.arm.refused == ["not active"]


def test_points_of_the_topic_are_ignored_while_a_goal_is_pending(ros: Any, robot: Any, send: Any) -> None:
    robot.arm.goal_pending = math.inf
    handle = act(ros, 0.3, 1.0)
    send(-0.3)
    assert robot.arm.refused == ["a goal is pending"]
    assert result(ros, handle).status == 4
    send(0.25)
    ros.spin_until(lambda: abs(robot.plant.q[0] - 0.25) < 0.01)


def test_a_new_goal_preempts_and_not_a_number_passes(ros: Any, robot: Any) -> None:
    first = act(ros, 0.6, 5.0)
    second = act(ros, math.nan, 5.0)
    assert second.accepted
    ended = result(ros, first)
    assert (ended.status, ended.result.error_code) == (6, -1)
    ros.spin_until(lambda: robot.plant.disasters)
    assert robot.plant.disasters == ["a command that is not finite reached the joints"]
    ros.spin_until(lambda: not robot.arm.active, what="the hardware to fail")
    assert robot.franka.error == "communication_constraints_violation"


def test_controller_state_shows_the_reference(ros: Any, robot: Any, send: Any) -> None:
    from control_msgs.msg import JointTrajectoryControllerState

    states: list[Any] = []
    ros.node.create_subscription(JointTrajectoryControllerState, f"{JTC}/controller_state", states.append, 10)
    send(0.2)
    ros.spin_until(lambda: states and abs(states[-1].reference.positions[0] - 0.2) < 1e-6)
    assert states[-1].feedback.positions[1] != states[-1].reference.positions[1]  # it droops


def test_parameters_can_be_read_from_outside(ros: Any, robot: Any) -> None:
    from rcl_interfaces.srv import GetParameters

    request = GetParameters.Request(names=["interpolate_from_desired_state", "cmd_timeout"])
    values = ros.call(GetParameters, f"{JTC}/get_parameters", request).values
    assert (values[0].bool_value, values[1].double_value) == (True, 0.0)


# -- controller manager ------------------------------------------------------------------------------------------------
def switch(ros: Any, activate: list[str], deactivate: list[str], strictness: int = 2) -> Any:
    from controller_manager_msgs.srv import SwitchController

    request = SwitchController.Request(strictness=strictness)
    request.activate_controllers, request.deactivate_controllers = activate, deactivate
    return ros.call(SwitchController, "controller_manager/switch_controller", request)


def test_strict_switches_all_or_nothing(ros: Any, robot: Any) -> None:
    claims = [f"fr3_joint{i}/position" for i in range(1, 8)]
    robot.manager.add("hold", "t", claims, active=False)
    for activate, deactivate, why in (
        (["hold"], [], "claimed"),
        (["nobody"], [JTC], "not loaded"),
        ([], ["hold"], "not active"),
    ):
        answer = switch(ros, activate, deactivate)
        assert not answer.ok
        assert why in answer.message
        assert robot.arm.active
    assert switch(ros, ["hold"], [JTC]).ok
    assert not robot.arm.active
    assert switch(ros, ["nobody", JTC], ["hold"], strictness=1).ok  # best effort: what can be done
    assert robot.arm.active


def test_late_joiners_see_the_activity_and_lists_agree(ros: Any, robot: Any) -> None:
    from controller_manager_msgs.msg import ControllerManagerActivity
    from controller_manager_msgs.srv import ListControllers, ListHardwareComponents
    from rclpy.qos import DurabilityPolicy, QoSProfile

    robot.manager.deactivate(JTC)
    seen: list[Any] = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    ros.node.create_subscription(ControllerManagerActivity, "controller_manager/activity", seen.append, latched)
    ros.spin_until(lambda: seen)
    assert {c.name: c.state.label for c in seen[-1].controllers}[JTC] == "inactive"
    listed = ros.call(ListControllers, "controller_manager/list_controllers", ListControllers.Request()).controller
    assert {c.name: c.state for c in listed}[JTC] == "inactive"
    name = "controller_manager/list_hardware_components"
    component = ros.call(ListHardwareComponents, name, ListHardwareComponents.Request()).component[0]
    assert (component.name, component.state.label) == ("FrankaHardwareInterface", "active")


def test_services_that_fail_answer_late_or_never(ros: Any, robot: Any) -> None:
    from controller_manager_msgs.srv import SwitchController

    answers = robot.manager.answers["switch_controller"]
    answers.fails = True
    assert not switch(ros, [], [JTC]).ok
    assert robot.arm.active
    answers.fails, answers.delay = False, 0.5
    name = "controller_manager/switch_controller"
    client = ros.node.create_client(SwitchController, name)
    ros.spin_until(client.service_is_ready)
    future = client.call_async(SwitchController.Request(deactivate_controllers=[JTC], strictness=2))
    ros.spin_until(lambda: not robot.arm.active)
    assert not future.done()
    ros.spin_until(future.done)
    answers.delay = math.inf
    future = client.call_async(SwitchController.Request(activate_controllers=[JTC], strictness=2))
    ros.spin_until(lambda: robot.arm.active)
    with pytest.raises(pytest.fail.Exception):
        ros.spin_until(future.done, timeout=0.5)
    assert len(answers.requests) == 3


# -- WidowX ------------------------------------------------------------------------------------------------------------
def test_a_widowx_behind_ros_control_has_two_controllers(ros: Any, rig: Any) -> None:
    from rclpy.duration import Duration
    from sensor_msgs.msg import JointState
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

    widowx = rig.widowx_jtc()
    rig.start()
    states: list[Any] = []
    ros.node.create_subscription(JointState, "wx250s/joint_states", states.append, 10)
    for controller, names, target in (
        ("arm_controller", list(widowx.plant.names), [0.1, -0.6, 0.5, 0.0, 0.9, 0.0]),
        ("gripper_controller", ["left_finger"], [0.02]),
    ):
        publisher = ros.node.create_publisher(JointTrajectory, f"wx250s/{controller}/joint_trajectory", 10)
        ros.spin_until(publisher.get_subscription_count)
        point = JointTrajectoryPoint(positions=target, time_from_start=Duration(seconds=0.15).to_msg())
        publisher.publish(JointTrajectory(joint_names=names, points=[point]))
    ros.spin_until(lambda: states and abs(states[-1].position[0] - 0.1) < 0.005)
    ros.spin_until(lambda: abs(states[-1].position[states[-1].name.index("left_finger")] - 0.02) < 1e-3)
    assert {"arm_controller", "gripper_controller"} <= set(widowx.manager.controllers)
