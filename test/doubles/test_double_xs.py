"""xs_sdk over DDS: what it checks, what it drops, what it says."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.ros
NS = "wx250s"
RAISED = (0.0, -0.6, 0.5, 0.0, 0.9, 0.0)


@pytest.fixture
def robot(rig: Any) -> Any:
    robot = rig.widowx_xs()
    rig.start()
    return robot


@pytest.fixture
def publish(ros: Any, robot: Any) -> Callable[[str, Any], None]:
    """``publish("joint_group", message)`` and wait until the driver heard it."""
    publishers: dict[str, Any] = {}

    def go(name: str, message: Any) -> None:
        if name not in publishers:
            publishers[name] = ros.node.create_publisher(type(message), f"{NS}/commands/{name}", 10)
            ros.spin_until(publishers[name].get_subscription_count)
        before = len(robot.arm.received)
        publishers[name].publish(message)
        ros.spin_until(lambda: len(robot.arm.received) > before)

    return go


def group(*values: float, name: str = "arm") -> Any:
    from interbotix_xs_msgs.msg import JointGroupCommand

    return JointGroupCommand(name=name, cmd=list(values))


def registers(ros: Any, what: str, reg: str, value: int = 0) -> list[int]:
    from interbotix_xs_msgs.srv import RegisterValues

    request = RegisterValues.Request(cmd_type="group", name="arm", reg=reg, value=value)
    return list(ros.call(RegisterValues, f"{NS}/{what}_motor_registers", request).values)


def moved(*offsets: float) -> tuple[float, ...]:
    return tuple(a + b for a, b in zip(RAISED, offsets, strict=True))


def test_only_the_length_is_checked(ros: Any, robot: Any, publish: Any) -> None:
    publish("joint_group", group(0.1))
    assert robot.arm.ignored == {"wrong length": 1}
    publish("joint_group", group(*RAISED[:5], math.nan))
    publish("joint_group", group(*RAISED[:5], 4.0))
    assert [d.split()[3] for d in robot.plant.disasters] == ["is", "of"]  # not finite, outside of the limits


def test_the_profile_is_two_seconds_until_registers_say_otherwise(ros: Any, robot: Any, publish: Any) -> None:
    assert registers(ros, "get", "Profile_Velocity") == [2000] * 6
    publish("joint_group", group(*moved(0.2, 0, 0, 0, 0, 0)))
    clock = robot.plant.clock
    began = clock()
    ros.spin_until(lambda: robot.plant.q[0] > 0.198)
    assert 1.4 < clock() - began < 2.6
    assert registers(ros, "set", "Profile_Velocity", 150) == []
    assert registers(ros, "set", "Profile_Acceleration", 50) == []
    assert registers(ros, "get", "Profile_Velocity") == [150] * 6
    publish("joint_group", group(*RAISED))
    began = clock()
    ros.spin_until(lambda: robot.plant.q[0] < 0.002)
    assert clock() - began < 0.8
    assert not robot.plant.disasters


def test_a_trajectory_cannot_be_ended_and_loses_whole_seconds(ros: Any, robot: Any, publish: Any) -> None:
    from interbotix_xs_msgs.msg import JointTrajectoryCommand
    from rclpy.duration import Duration
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

    robot.arm.motors.profile = 0.1
    path = JointTrajectory()
    for seconds, offset in ((0.0, 0.0), (0.5, 0.1), (5.9, 0.2)):
        time = Duration(seconds=seconds).to_msg()
        path.points.append(JointTrajectoryPoint(positions=[offset, *RAISED[1:]], time_from_start=time))
    command = JointTrajectoryCommand(cmd_type="group", name="arm", traj=path)
    publish("joint_trajectory", command)
    publish("joint_trajectory", command)
    assert robot.arm.ignored == {"still moving": 1}
    publish("joint_group", group(*RAISED))
    began = robot.plant.clock()
    ros.spin_until(lambda: robot.plant.q[0] > 0.19, what="the trajectory to go on")
    assert robot.plant.clock() - began < 4


def test_gripper_pwm_persists(ros: Any, robot: Any, publish: Any) -> None:
    from interbotix_xs_msgs.msg import JointSingleCommand

    robot.arm.motors.gripper.object_at = 0.02
    publish("joint_single", JointSingleCommand(name="gripper", cmd=-250.0))
    ros.spin_until(lambda: robot.arm.motors.gripper.finger == 0.02)
    assert robot.arm.motors.gripper.pwm == -250
    robot.arm.motors.gripper.overload_after = 0.2
    ros.spin_until(lambda: not robot.arm.motors.gripper.torque, what="the overload")


def test_torque_off_lets_the_arm_fall_and_the_answer_says_nothing(ros: Any, robot: Any) -> None:
    from interbotix_xs_msgs.srv import TorqueEnable

    request = TorqueEnable.Request(cmd_type="group", name="nobody", enable=False)
    answer = ros.call(TorqueEnable, f"{NS}/torque_enable", request)
    assert (answer, robot.plant.disasters) == (TorqueEnable.Response(), [])
    request.name = "arm"
    assert ros.call(TorqueEnable, f"{NS}/torque_enable", request) == TorqueEnable.Response()
    ros.spin_until(lambda: robot.plant.q[1] > RAISED[1] + 0.5, what="the fall")
    assert registers(ros, "get", "Torque_Enable") == [0] * 6
    request.enable = True
    ros.call(TorqueEnable, f"{NS}/torque_enable", request)
    ros.spin_until(lambda: robot.plant.at_rest)
    assert robot.plant.disasters == ["torque off"]


@pytest.mark.parametrize("service", ["set_operating_modes", "reboot_motors"])
def test_other_services_drop_it_too(ros: Any, robot: Any, service: str) -> None:
    from interbotix_xs_msgs.srv import OperatingModes, Reboot

    if service == "reboot_motors":
        ros.call(Reboot, f"{NS}/{service}", Reboot.Request(cmd_type="group", name="arm", enable=False))
        ros.spin_until(lambda: robot.plant.q[1] > RAISED[1] + 0.3)
    else:
        request = OperatingModes.Request(cmd_type="group", name="arm", mode="position", profile_velocity=200)
        ros.call(OperatingModes, f"{NS}/{service}", request)
        assert robot.plant.disasters[0] == "operating mode changed"
        assert registers(ros, "get", "Profile_Velocity") == [200] * 6
    assert "torque off" in robot.plant.disasters


def test_robot_info_of_the_arm_of_the_gripper_and_of_nobody(ros: Any, robot: Any) -> None:
    from interbotix_xs_msgs.srv import RobotInfo

    def ask(kind: str, name: str) -> Any:
        return ros.call(RobotInfo, f"{NS}/get_robot_info", RobotInfo.Request(cmd_type=kind, name=name))

    arm = ask("group", "arm")
    assert (arm.mode, arm.profile_type, arm.num_joints, arm.joint_names[0]) == ("position", "time", 6, "waist")
    assert np.allclose(arm.joint_upper_limits, robot.plant.upper, atol=1e-4)
    assert ask("single", "gripper").joint_names == ["left_finger"]
    nobody = ask("group", "nobody")
    assert (nobody.num_joints, list(nobody.joint_names)) == (0, [])


def test_joint_states_with_coarse_velocities(ros: Any, robot: Any, publish: Any) -> None:
    from sensor_msgs.msg import JointState

    states: list[Any] = []
    ros.node.create_subscription(JointState, f"{NS}/joint_states", states.append, 10)
    publish("joint_group", group(*moved(0.3, 0, 0, 0, 0, 0)))
    ros.spin_until(lambda: any(s.velocity[0] for s in states))
    message = next(s for s in states if s.velocity[0])
    assert message.name[6:] == ["gripper", "left_finger", "right_finger"]
    units = message.velocity[0] / 0.024
    assert units == pytest.approx(round(units))
    robot.states.silent = True
    ros.spin_until(lambda: robot.plant.q[0] > 0.29)
    heard = len(states)
    with pytest.raises(pytest.fail.Exception):
        ros.spin_until(lambda: len(states) > heard + 1, timeout=0.3)


def test_a_robot_in_a_process_of_its_own_dies(ros: Any, spawn_robot: Any) -> None:
    from sensor_msgs.msg import JointState

    states: list[Any] = []
    ros.node.create_subscription(JointState, f"{NS}/joint_states", states.append, 10)
    driver = spawn_robot("widowx_xs")
    ros.spin_until(lambda: len(states) > 10, timeout=20)
    driver.process.send_signal(signal.SIGKILL)
    driver.process.wait(5)
    ros.spin_until(lambda: True)
    heard = len(states)
    with pytest.raises(pytest.fail.Exception):
        ros.spin_until(lambda: len(states) > heard + 20, timeout=0.5)
