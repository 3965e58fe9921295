"""Franka's modes and recovery, its gripper, and CRISP over DDS."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.ros
HARDWARE, JTC = "FrankaHardwareInterface", "fr3_arm_controller"


@pytest.fixture
def robot(rig: Any) -> Any:
    robot = rig.franka_jtc()
    rig.start()
    return robot


def goal(ros: Any, kind: Any, name: str, content: Any) -> Any:
    """Send a goal and return its result's future once it is accepted."""
    from rclpy.action import ActionClient

    client = ActionClient(ros.node, kind, name)
    ros.spin_until(client.server_is_ready, what=name)
    sent = client.send_goal_async(content)
    ros.spin_until(sent.done)
    handle = sent.result()
    assert handle.accepted
    return handle, handle.get_result_async()


def done(ros: Any, future: Any) -> Any:
    ros.spin_until(future.done)
    return future.result()


def set_hardware(ros: Any, number: int) -> Any:
    from controller_manager_msgs.srv import SetHardwareComponentState

    request = SetHardwareComponentState.Request(name=HARDWARE)
    request.target_state.id = number
    return ros.call(SetHardwareComponentState, "controller_manager/set_hardware_component_state", request)


def activate(ros: Any) -> Any:
    from controller_manager_msgs.srv import SwitchController

    request = SwitchController.Request(activate_controllers=[JTC], strictness=2)
    return ros.call(SwitchController, "controller_manager/switch_controller", request)


def test_reflex_and_recovery_in_their_order(ros: Any, robot: Any) -> None:
    from franka_msgs.action import ErrorRecovery
    from franka_msgs.msg import FrankaRobotState

    states: list[Any] = []
    topic = "franka_robot_state_broadcaster/robot_state"
    ros.node.create_subscription(FrankaRobotState, topic, states.append, 10)
    ros.spin_until(lambda: states and states[-1].robot_mode == FrankaRobotState.ROBOT_MODE_MOVE)
    robot.franka.reflex()
    ros.spin_until(lambda: states[-1].robot_mode == FrankaRobotState.ROBOT_MODE_REFLEX)
    assert states[-1].current_errors.joint_reflex
    assert not robot.arm.active
    assert robot.manager.hardware[HARDWARE] == 1  # unconfigured
    assert not activate(ros).ok
    name = "action_server/error_recovery"
    assert done(ros, goal(ros, ErrorRecovery, name, ErrorRecovery.Goal())[1]).status == 4
    ros.spin_until(lambda: states[-1].robot_mode == FrankaRobotState.ROBOT_MODE_IDLE)
    assert not states[-1].current_errors.joint_reflex
    assert states[-1].last_motion_errors.joint_reflex
    assert not activate(ros).ok  # the hardware first
    assert set_hardware(ros, 3).state.label == "active"
    assert activate(ros).ok
    ros.spin_until(lambda: states[-1].robot_mode == FrankaRobotState.ROBOT_MODE_MOVE)


def test_a_user_stop_sets_no_error_and_cannot_be_recovered_from_before_its_release(ros: Any, robot: Any) -> None:
    from franka_msgs.action import ErrorRecovery

    robot.franka.user_stop()
    assert (robot.franka.mode, robot.franka.error) == (5, "")
    name = "action_server/error_recovery"
    assert done(ros, goal(ros, ErrorRecovery, name, ErrorRecovery.Goal())[1]).status == 6  # aborted
    robot.franka.release()
    assert robot.franka.mode == 1


def test_convenience_topics_are_best_effort(ros: Any, robot: Any) -> None:
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import JointState

    reliable: list[Any] = []
    best_effort: list[Any] = []
    topic = "franka_robot_state_broadcaster/measured_joint_states"
    ros.node.create_subscription(JointState, topic, reliable.append, 10)
    ros.node.create_subscription(JointState, topic, best_effort.append, qos_profile_sensor_data)
    ros.spin_until(lambda: len(best_effort) > 20)
    assert not reliable


# -- gripper -----------------------------------------------------------------------------------------------------------
def test_goals_of_the_gripper_are_not_preempted(ros: Any, robot: Any) -> None:
    from franka_msgs.action import Grasp, Move

    _, closing = goal(ros, Move, "franka_gripper/move", Move.Goal(width=0.02, speed=0.1))
    ros.spin_until(lambda: robot.gripper.width < 0.07)
    _, opening = goal(ros, Move, "franka_gripper/move", Move.Goal(width=0.06, speed=0.1))
    ros.spin_until(lambda: robot.gripper.width < 0.021, what="the first goal to go on")
    assert not opening.done()
    assert done(ros, closing).result.success
    assert done(ros, opening).result.success
    assert robot.gripper.overlapping == 1
    robot.gripper.object_width = 0.03
    handle, closing = goal(ros, Grasp, "franka_gripper/grasp", Grasp.Goal(width=0.03, speed=0.02, force=30.0))
    ros.spin_until(lambda: robot.gripper.width < 0.055)
    ros.spin_until(handle.cancel_goal_async().done)
    assert done(ros, closing).status == 5
    assert robot.gripper.width > 0.03  # it stopped where it was, and holds nothing
    assert robot.gripper.force == 0


def test_gripper_action_means_one_finger_and_aborts_when_it_meets_an_object(ros: Any, robot: Any) -> None:
    from control_msgs.action import GripperCommand

    robot.gripper.object_width = 0.03
    content = GripperCommand.Goal()
    content.command.position, content.command.max_effort = 0.0, 20.0
    ended = done(ros, goal(ros, GripperCommand, "franka_gripper/gripper_action", content)[1])
    assert ended.status == 6
    assert ended.result.position == pytest.approx(0.03)
    assert robot.gripper.force == 20.0
    content.command.position = 0.035
    ended = done(ros, goal(ros, GripperCommand, "franka_gripper/gripper_action", content)[1])
    assert ended.status == 4
    assert robot.gripper.width == pytest.approx(0.07)
    assert robot.gripper.force == 0
    content.command.position = 0.08
    assert done(ros, goal(ros, GripperCommand, "franka_gripper/gripper_action", content)[1]).status == 6


# -- CRISP -------------------------------------------------------------------------------------------------------------
def test_crisp_follows_the_newest_target_and_freezes_with_two_publishers(ros: Any, rig: Any) -> None:
    from geometry_msgs.msg import PoseStamped
    from sensor_msgs.msg import JointState

    robot = rig.franka_crisp()
    rig.start()
    poses: list[Any] = []
    ros.node.create_subscription(PoseStamped, "current_pose", poses.append, 10)
    first = ros.node.create_publisher(PoseStamped, "target_pose", 10)
    ros.spin_until(lambda: first.get_subscription_count() and poses)
    target = PoseStamped()
    target.pose.position.x, target.pose.position.z, target.pose.orientation.w = 0.1, 0.3, 1.0
    first.publish(target)
    ros.spin_until(lambda: abs(poses[-1].pose.position.x - 0.1) < 0.005)
    assert not robot.arm.frozen
    second = ros.node.create_publisher(PoseStamped, "target_pose", 10)
    ros.spin_until(lambda: robot.arm.frozen)
    target.pose.position.x = 0.2
    first.publish(target)
    ros.spin_until(lambda: robot.arm.ignored["several publishers"])
    assert robot.plant.setpoint[0] == pytest.approx(0.1)
    ros.node.destroy_publisher(second)
    joints = ros.node.create_publisher(JointState, "target_joint", 10)
    ros.spin_until(lambda: joints.get_subscription_count() and not robot.arm.frozen)
    joints.publish(JointState(name=["a"], position=[0.0]))
    ros.spin_until(lambda: robot.arm.ignored["unknown joints"])
    names = list(reversed(robot.plant.names))
    joints.publish(JointState(name=names, position=[float(i) / 10 for i in (7, 12, -1, -20, 1, -2, 3)]))
    ros.spin_until(lambda: abs(robot.plant.q[0] - 0.3) < 0.005)
