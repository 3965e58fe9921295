"""The simulated WidowX as a process of its own, behind the names of xs_sdk, over DDS."""

from __future__ import annotations

import signal

import numpy as np
import pytest

pytestmark = pytest.mark.ros
kinds = pytest.importorskip("interbotix_xs_msgs.msg", reason="message packages are not built; run: make test")
services = pytest.importorskip("interbotix_xs_msgs.srv", reason="message packages are not built; run: make test")

from sim_node.widowx.xs import NAMES  # noqa: E402

STARTS = 60.0
TASK = "put the spoon on the cloth"


class Arm:
    """What a commander of the arm hears and says."""

    def __init__(self, ros, process) -> None:
        from rclpy.qos import qos_profile_sensor_data
        from sensor_msgs.msg import Image, JointState
        from vla_monitor.msg import SimState

        self.ros, self.process = ros, process
        self.states, self.pictures, self.scenes = [], [], []
        ros.node.create_subscription(JointState, "wx250s/joint_states", self.states.append, 10)
        ros.node.create_subscription(Image, "agentview/image_raw", self.pictures.append, qos_profile_sensor_data)
        ros.node.create_subscription(SimState, "sim_node/sim_state", self.scenes.append, qos_profile_sensor_data)
        self.group = ros.node.create_publisher(kinds.JointGroupCommand, "wx250s/commands/joint_group", 10)
        self.single = ros.node.create_publisher(kinds.JointSingleCommand, "wx250s/commands/joint_single", 10)
        for publisher in (self.group, self.single):
            ros.spin_until(publisher.get_subscription_count, STARTS, "the arm to listen")
        ros.spin_until(lambda: self.states and self.pictures and self.scenes, STARTS, "the arm to speak")

    @property
    def joints(self):
        state = self.states[-1]
        assert list(state.name) == [*NAMES, "gripper", "left_finger", "right_finger"]
        return np.array(state.position[:6])

    def call(self, kind, service, /, **request):
        return self.ros.call(kind, f"wx250s/{service}", kind.Request(**request), STARTS)

    def until(self, predicate, what):
        self.ros.spin_until(predicate, STARTS, what)

    def pass_by(self, steps):
        """Let control steps of the simulation pass."""
        count = len(self.states)
        self.until(lambda: len(self.states) >= count + 5 * steps, f"{steps} control steps")


@pytest.fixture
def arm(ros, spawn):
    return Arm(ros, spawn("sim_node.driver", params={"robot": "widowx"}))


def test_commands_services_and_the_fall_without_torque(arm):
    from vla_monitor.srv import ResetScene

    answer = arm.ros.call(ResetScene, "sim_node/reset_scene", ResetScene.Request(task=TASK, seed=3), STARTS)
    assert answer.ok and answer.instruction == TASK
    info = arm.call(services.RobotInfo, "get_robot_info", cmd_type="group", name="arm")
    assert list(info.joint_names) == list(NAMES) and (info.mode, info.profile_type) == ("position", "time")
    assert info.joint_lower_limits[1] == pytest.approx(np.radians(-108), abs=1e-5) and info.num_joints == 6
    assert arm.call(services.RobotInfo, "get_robot_info", cmd_type="group", name="leg").num_joints == 0

    registers = {"cmd_type": "group", "name": "arm"}
    read = arm.call(services.RegisterValues, "get_motor_registers", reg="Profile_Velocity", **registers)
    assert list(read.values) == [2000] * 6, "the vendor's two seconds"
    for name, value in (("Profile_Velocity", 150), ("Profile_Acceleration", 50)):
        written = arm.call(services.RegisterValues, "set_motor_registers", reg=name, value=value, **registers)
        assert not len(written.values), "a write says nothing"
        read = arm.call(services.RegisterValues, "get_motor_registers", reg=name, **registers)
        assert list(read.values) == [value] * 6

    goal = arm.joints + [0.3, 0.1, 0, 0, 0, 0.2]
    arm.group.publish(kinds.JointGroupCommand(name="arm", cmd=goal.tolist()))
    arm.until(lambda: np.abs(arm.joints - goal).max() < 0.02, "the goal")
    arm.pass_by(10)
    assert np.abs(arm.joints - goal).max() < 0.02, "held for ever"
    arm.group.publish(kinds.JointGroupCommand(name="arm", cmd=[0.0] * 5))
    arm.single.publish(kinds.JointSingleCommand(name="gripper", cmd=-250.0))
    arm.until(lambda: arm.states[-1].position[7] < 0.017, "the gripper to close")
    assert arm.states[-1].position[8] == pytest.approx(-arm.states[-1].position[7], abs=1e-3)
    assert np.abs(arm.joints - goal).max() < 0.02, "a command of the wrong length moves nothing"

    arm.call(services.TorqueEnable, "torque_enable", cmd_type="group", name="arm", enable=False)
    read = arm.call(services.RegisterValues, "get_motor_registers", reg="Torque_Enable", **registers)
    assert list(read.values) == [0] * 6
    arm.until(lambda: np.abs(arm.joints - goal).max() > 0.3, "the arm to fall")
    arm.group.publish(kinds.JointGroupCommand(name="arm", cmd=goal.tolist()))
    arm.pass_by(20)
    assert np.abs(arm.joints - goal).max() > 0.3, "goals move nothing without torque"
    arm.call(services.TorqueEnable, "torque_enable", cmd_type="group", name="arm", enable=True)
    arm.pass_by(20)
    rest = arm.joints
    arm.pass_by(20)
    assert np.abs(arm.joints - rest).max() < 0.01, "it holds where it was caught"
    assert arm.process.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize(
    ("params", "word"),
    [({"robot": "r2d2"}, "robot"), ({"robot": "widowx", "lockstep": True}, "lockstep")],
)
def test_wrong_input_is_one_line_and_exit_code_2(spawn, wait_until, params, word):
    node = spawn("sim_node.driver", params=params)
    assert wait_until(lambda: node.process.poll() is not None, STARTS) is True
    assert node.process.returncode == 2
    lines = node.text().splitlines()
    assert len(lines) == 1 and lines[0].startswith("sim_node: ") and word in lines[0]
