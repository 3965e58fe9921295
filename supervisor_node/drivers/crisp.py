"""CRISP: pose targets while moving, joint targets while holding. It knows no goals: the newest target counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from supervisor_node import messages
from supervisor_node.arms.base import Arm
from supervisor_node.drivers.base import Driver, Qualities
from supervisor_node.drivers.fingers import open_fingers
from supervisor_node.values import Command

GRIPPER = "gripper/gripper_position_controller/commands"


class CrispDriver(Driver):
    """See :class:`supervisor_node.drivers.base.Driver`."""

    def __init__(self, node: Any, arm: Arm, qualities: Qualities, step: Callable[..., None]) -> None:
        super().__init__(node, arm, qualities, step)
        self._pose = self.publish_on(PoseStamped, "target_pose")
        self._joints = self.publish_on(JointState, "target_joint")
        self._fingers = open_fingers(self)
        self._gripper: Any = self.publish_on(Float64MultiArray, GRIPPER) if self._fingers is None else None

    def move(self, command: Command) -> None:
        """A joint target, or a pose target; and the gripper's, on CRISP's topic where it has no driver of its own."""
        if command.motion.joints is not None:
            self._joints.publish(messages.target_joint(command, self.profile.joints.names))
        else:
            self._pose.publish(messages.target_pose(command, self.profile.frame))
        if command.gripper is None:
            return
        if self._fingers is not None:
            self._fingers.lead(command.gripper)
        else:
            self._gripper.publish(messages.gripper(command.gripper))
