"""What franka_ros2 says about the robot, and what happens to its controllers when the robot stops by itself."""

from __future__ import annotations

from typing import Any

from franka_msgs.action import ErrorRecovery
from franka_msgs.msg import FrankaRobotState
from rclpy.action import ActionServer
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState

from robot_doubles.answers import STEADY, after
from robot_doubles.controllers import ACTIVE, ControllerManagerDouble
from robot_doubles.plant import Plant

State = FrankaRobotState


class FrankaDouble:
    """Mode, errors and error recovery.

    A reflex, a user stop or a command that is not finite stops the arm and makes the hardware component unconfigured:
    its controllers are deactivated, the processes live on. Recovery clears the errors; hardware and controllers stay
    as they are until somebody activates them, in this order.

    :param manager: that has the component.
    """

    def __init__(
        self, node: Node, plant: Plant, manager: ControllerManagerDouble, hardware: str = "FrankaHardwareInterface"
    ) -> None:
        self.node, self.plant, self.manager, self.hardware = node, plant, manager, hardware
        self.error = ""
        """Field of franka_msgs/Errors that is set; "" also after a user stop."""
        self.last_error = ""
        self.recovery_delay = 0.4
        """Seconds that error recovery takes (0.4 to 16 were reported)."""
        self.recovery_fails = False
        self.recoveries = 0
        """Goals of error recovery so far."""
        self.silent = False
        """The state is no longer published."""
        self._stopped = ""
        sensor = qos_profile_sensor_data
        self._state = node.create_publisher(State, "franka_robot_state_broadcaster/robot_state", 10)
        self._joints = node.create_publisher(JointState, "franka_robot_state_broadcaster/measured_joint_states", sensor)
        self._server = ActionServer(node, ErrorRecovery, "action_server/error_recovery", self._recover)
        node.create_timer(0.02, self._publish, clock=STEADY)
        plant.on_disaster.append(self._on_disaster)
        if hardware not in manager.hardware:
            manager.add_hardware(hardware)

    @property
    def mode(self) -> int:
        """Robot mode as franka_msgs counts it."""
        if self._stopped == "user":
            return State.ROBOT_MODE_USER_STOPPED
        if self._stopped:
            return State.ROBOT_MODE_REFLEX
        held = any(c.active and c.hardware == self.hardware for c in self.manager.controllers.values())
        return State.ROBOT_MODE_MOVE if held else State.ROBOT_MODE_IDLE

    # -- the script ------------------------------------------------------------------------------------------------
    def reflex(self, error: str = "joint_reflex") -> None:
        """The robot stops by itself."""
        self._stop("reflex", error)

    def user_stop(self) -> None:
        """Somebody presses the stop: no error is set."""
        self._stop("user", "")

    def release(self) -> None:
        """The user stop is released; the hardware stays unconfigured."""
        if self._stopped == "user":
            self._stopped = ""

    def _stop(self, why: str, error: str) -> None:
        self._stopped, self.error = why, error
        self.last_error = error or self.last_error
        self.plant.stand()
        self.manager.fail_hardware(self.hardware)

    def _on_disaster(self, what: str) -> None:
        if "not finite" in what and self.manager.hardware.get(self.hardware) == ACTIVE:
            self._stop("reflex", "communication_constraints_violation")

    async def _recover(self, handle: Any) -> Any:
        self.recoveries += 1
        await after(self.node, self.recovery_delay)
        if self.recovery_fails or self._stopped == "user":
            handle.abort()
        else:
            self._stopped = self.error = ""
            handle.succeed()
        return ErrorRecovery.Result()

    # -- topics ----------------------------------------------------------------------------------------------------
    def _publish(self) -> None:
        if self.silent:
            return
        joints = JointState(name=list(self.plant.names))
        joints.header.stamp = self.node.get_clock().now().to_msg()
        joints.position, joints.velocity = self.plant.measured().tolist(), self.plant.qd.tolist()
        desired = JointState(header=joints.header, name=joints.name, position=self.plant.setpoint.tolist())
        message = State(header=joints.header, robot_mode=self.mode, measured_joint_state=joints)
        message.desired_joint_state = desired
        message.control_command_success_rate = 1.0
        for errors, name in ((message.current_errors, self.error), (message.last_motion_errors, self.last_error)):
            if name:
                setattr(errors, name, True)
        self._joints.publish(joints)
        self._state.publish(message)
