"""The simulated WidowX behind xs_sdk's topics and services (robots_and_peers.md A2), under the robot's name."""

from __future__ import annotations

import importlib
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.node import Node
from sensor_msgs.msg import JointState

from sim_node import messages
from sim_node.bed import Bed
from sim_node.pacing import Lockstep
from sim_node.widowx.model import WIDOWX
from sim_node.widowx.xs import GRIPPER, NAMES, PWM, XsArm
from vla_uq.errors import InputError

PREFIX = "wx250s"
"""The robot's name: every topic and service stands under it."""
_PACKAGE = "interbotix_xs_msgs"


class XsDriver:
    """See :class:`sim_node.drives.ArmDriver`.

    :param lock: nothing can be waited for: these commands bear no stamp, and who leads the gripper does it by the time.
    :raises InputError: the message package is not installed.
    """

    lockstep = False

    def __init__(self, node: Node, bed: Bed, lock: Callable[[], Lockstep | None]) -> None:
        self.arm = XsArm(bed)
        kinds, services = _interfaces("msg"), _interfaces("srv")
        group, single, trajectory = (f"{PREFIX}/commands/joint_{part}" for part in ("group", "single", "trajectory"))
        node.create_subscription(kinds.JointGroupCommand, group, self._on_group, 10)
        node.create_subscription(kinds.JointSingleCommand, single, self._on_single, 10)
        node.create_subscription(kinds.JointTrajectoryCommand, trajectory, self._on_trajectory, 10)
        self._joints = node.create_publisher(JointState, f"{PREFIX}/joint_states", 10)
        for kind, name, answer in (
            (services.TorqueEnable, "torque_enable", self._torque_enable),
            (services.OperatingModes, "set_operating_modes", self._set_modes),
            (services.RobotInfo, "get_robot_info", self._info),
            (services.RegisterValues, "set_motor_registers", self._set_registers),
            (services.RegisterValues, "get_motor_registers", self._get_registers),
        ):
            node.create_service(kind, f"{PREFIX}/{name}", answer)

    # -- commands --------------------------------------------------------------------------------------------------
    def _on_group(self, message: Any) -> None:
        self.arm.joint_group(message.name, message.cmd)

    def _on_single(self, message: Any) -> None:
        self.arm.joint_single(message.name, message.cmd)

    def _on_trajectory(self, message: Any) -> None:
        self.arm.ignored["trajectories are not simulated: nothing can end one"] += 1

    # -- services: the answers say nothing -------------------------------------------------------------------------
    def _torque_enable(self, request: Any, response: Any) -> Any:
        self.arm.torque_enable(request.cmd_type, request.name, request.enable)
        return response

    def _set_modes(self, request: Any, response: Any) -> Any:
        velocity, acceleration = request.profile_velocity, request.profile_acceleration
        self.arm.set_operating_modes(request.cmd_type, request.name, request.mode, velocity, acceleration)
        return response

    def _set_registers(self, request: Any, response: Any) -> Any:
        self.arm.set_register(request.cmd_type, request.name, request.reg, request.value)
        return response

    def _get_registers(self, request: Any, response: Any) -> Any:
        response.values = self.arm.registers(request.cmd_type, request.name, request.reg)
        return response

    def _info(self, request: Any, response: Any) -> Any:
        motors = self.arm.info(request.cmd_type, request.name)
        if not motors:
            return response
        alone = [request.cmd_type, request.name] == ["single", GRIPPER]
        response.name, response.mode, response.profile_type = [request.name], PWM if alone else self.arm.mode, "time"
        response.num_joints = len(motors)
        response.joint_names = [motor.name for motor in motors]
        response.joint_ids = [motor.number for motor in motors]
        response.joint_state_indices = [motor.place for motor in motors]
        response.joint_lower_limits = [motor.lower for motor in motors]
        response.joint_upper_limits = [motor.upper for motor in motors]
        response.joint_velocity_limits = [motor.speed for motor in motors]
        response.joint_sleep_positions = [motor.sleep for motor in motors]
        return response

    # -- what the node asks ----------------------------------------------------------------------------------------
    def begun(self) -> None:
        """See :meth:`ArmDriver.begun`."""

    def measured(self, stamp: Time) -> list[tuple[Any, Any]]:
        """See :meth:`ArmDriver.measured`. The gripper's motor stands where its fingers are, in their unit."""
        scene = self.arm.bed.scene
        q, qd = self.arm.joints()
        fingers, speeds = scene.data.qpos[scene.fingers], scene.data.qvel[scene.finger_dof]
        states = JointState(
            header=messages.header(stamp, ""),
            name=[*NAMES, GRIPPER, *WIDOWX.fingers],
            position=array("d", np.concatenate([q, fingers[:1], fingers])),
            velocity=array("d", np.concatenate([qd, speeds[:1], speeds])),
        )
        return [(self._joints, states)]

    def problem(self) -> str:
        """See :meth:`ArmDriver.problem`."""
        limp = self.arm.limp()
        return f"torque is off: {', '.join(limp)}" if limp else ""


def _interfaces(part: str) -> Any:
    """A module of the driver's message package."""
    try:
        return importlib.import_module(f"{_PACKAGE}.{part}")
    except ImportError:
        raise InputError(
            "message package is not installed",
            where=_PACKAGE,
            found=f"{_PACKAGE}.{part}",
            remedy="build interbotix_ros_core in your workspace and source it; in simulation: make demo ROBOT=widowx",
        ) from None
