"""xs_sdk of the Interbotix X series: commands are checked for their length only, and answers say nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from interbotix_xs_msgs.msg import JointGroupCommand, JointSingleCommand, JointTrajectoryCommand
from interbotix_xs_msgs.srv import OperatingModes, Reboot, RegisterValues, RobotInfo, TorqueEnable
from rclpy.node import Node

from robot_doubles.answers import STEADY, Answers
from robot_doubles.joint_states import JointStates
from robot_doubles.motors import CLOSED, Motors
from robot_doubles.plant import Plant

GRIPPER = "gripper"
SPEED_UNIT = 0.024
"""rad/s, what one unit of a Dynamixel's velocity register is."""
SLEEP = {"shoulder": -1.8, "elbow": 1.55, "wrist_angle": 0.8}


class XsDouble:
    """The driver's node; all names are relative to the robot's namespace.

    :param plant: the joints of the group ``arm``.
    """

    def __init__(self, node: Node, plant: Plant) -> None:
        self.node, self.plant, self.motors = node, plant, Motors(plant)
        self.received: list[Any] = []
        """Commands of all three topics, in order."""
        self.ignored: Counter[str] = Counter()
        """Commands that changed nothing, by reason."""
        self.answers: defaultdict[str, Answers] = defaultdict(lambda: Answers(node))
        """How each service behaves, by its name."""
        self.sag = 0.05
        """Seconds without torque while an operating mode is changed."""
        self.info_limits = (plant.lower.copy(), plant.upper.copy())
        """What get_robot_info reports."""
        self._running: list[tuple[float, np.ndarray]] = []
        node.create_subscription(JointGroupCommand, "commands/joint_group", self._on_group, 10)
        node.create_subscription(JointSingleCommand, "commands/joint_single", self._on_single, 10)
        node.create_subscription(JointTrajectoryCommand, "commands/joint_trajectory", self._on_trajectory, 10)
        for service_type, name, handle in (
            (TorqueEnable, "torque_enable", self._torque),
            (Reboot, "reboot_motors", self._reboot),
            (RobotInfo, "get_robot_info", self._info),
            (OperatingModes, "set_operating_modes", self._modes),
            (RegisterValues, "set_motor_registers", self._set_registers),
            (RegisterValues, "get_motor_registers", self._get_registers),
        ):
            self.answers[name].serve(service_type, name, handle)
        node.create_timer(0.01, self._advance, clock=STEADY)
        self.states = JointStates(node, plant, extra=self._fingers, speed_unit=SPEED_UNIT)

    @property
    def moving(self) -> bool:
        """Whether a trajectory runs, which nothing can end."""
        return bool(self._running)

    # -- commands ----------------------------------------------------------------------------------------------------
    def _on_group(self, message: JointGroupCommand) -> None:
        self.received.append(message)
        if message.name != "arm":
            self.ignored["unknown group"] += 1
        elif len(message.cmd) != len(self.plant.names):
            self.ignored["wrong length"] += 1
        else:
            self.motors.go(np.asarray(message.cmd, float))

    def _on_single(self, message: JointSingleCommand) -> None:
        self.received.append(message)
        if message.name == GRIPPER:
            self.motors.gripper.pwm = message.cmd
        elif message.name in self.plant.names:
            goal = self.plant.setpoint.copy()
            goal[self.plant.names.index(message.name)] = message.cmd
            self.motors.go(goal)
        else:
            self.ignored["unknown joint"] += 1

    def _on_trajectory(self, message: JointTrajectoryCommand) -> None:
        self.received.append(message)
        points = message.traj.points
        if self._running:
            self.ignored["still moving"] += 1
        elif len(points) < 2 or message.name != "arm":
            self.ignored["not a trajectory of the arm"] += 1
        else:
            now = self.plant.clock()
            # The driver looks at the nanoseconds alone: whole seconds are lost.
            self._running = [(now + p.time_from_start.nanosec * 1e-9, np.asarray(p.positions, float)) for p in points]

    def _advance(self) -> None:
        while self._running and self.plant.clock() >= self._running[0][0]:
            self.motors.go(self._running.pop(0)[1])
        self.motors.advance()

    # -- services ----------------------------------------------------------------------------------------------------
    def _named(self, request: Any) -> tuple[list[int], bool]:
        """The arm's joints that a request means, and whether it means the gripper; nothing where it makes no sense."""
        names = self.plant.names
        if request.cmd_type == "group" and request.name in ("arm", "all"):
            return list(range(len(names))), request.name == "all"
        if request.cmd_type == "single" and request.name in names:
            return [names.index(request.name)], False
        return [], request.cmd_type == "single" and request.name == GRIPPER

    def _torque(self, request: Any, response: Any) -> Any:
        joints, gripper = self._named(request)
        self.motors.switch_torque(bool(request.enable), joints, gripper)
        return response

    def _reboot(self, request: Any, response: Any) -> Any:
        joints, gripper = self._named(request)
        self.motors.switch_torque(False, joints, gripper)
        if request.enable:
            self.motors.switch_torque(True, joints, gripper)
        return response

    def _modes(self, request: Any, response: Any) -> Any:
        joints, _ = self._named(request)
        if joints:
            velocity, acceleration = request.profile_velocity, request.profile_acceleration
            self.motors.set_mode(request.mode, velocity, acceleration, self.sag)
        return response

    def _set_registers(self, request: Any, response: Any) -> Any:
        joints, _ = self._named(request)
        if joints and request.reg == "Profile_Velocity":
            self.motors.profile = request.value / 1000
        elif joints and request.reg == "Profile_Acceleration":
            self.motors.acceleration = request.value / 1000
        return response  # the list of values stays empty

    def _get_registers(self, request: Any, response: Any) -> Any:
        joints, gripper = self._named(request)
        motors = self.motors
        values = {
            "Profile_Velocity": [round(motors.profile * 1000)] * len(joints),
            "Profile_Acceleration": [round(motors.acceleration * 1000)] * len(joints),
            "Torque_Enable": [int(self.plant.torque[i]) for i in joints] + [int(motors.gripper.torque)] * gripper,
        }
        response.values = values.get(request.reg, [])
        return response

    def _info(self, request: Any, response: Any) -> Any:
        joints, gripper = self._named(request)
        if not joints and not gripper:
            return response  # an unknown name gets an empty answer
        names = [self.plant.names[i] for i in joints]
        response.name, response.mode, response.profile_type = [request.name], self.motors.mode, "time"
        response.joint_names = names + ["left_finger"] * gripper
        response.num_joints = len(response.joint_names)
        response.joint_ids = list(range(1, response.num_joints + 1))
        response.joint_state_indices = list(range(response.num_joints))
        response.joint_sleep_positions = [SLEEP.get(name, 0.0) for name in response.joint_names]
        lower, upper = self.info_limits
        response.joint_lower_limits = [float(lower[i]) for i in joints] + [CLOSED] * gripper
        response.joint_upper_limits = [float(upper[i]) for i in joints] + [0.037] * gripper
        response.joint_velocity_limits = [np.pi] * len(joints) + [1.0] * gripper
        return response

    def _fingers(self) -> tuple[Sequence[str], Sequence[float]]:
        finger = self.motors.gripper.finger
        return (GRIPPER, "left_finger", "right_finger"), (0.0, finger, -finger)
