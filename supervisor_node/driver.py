"""The arm's side of the node for CRISP: the topics on which its commands go out, and who else is on them."""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from vla_monitor.msg import CommandRecord

from supervisor_node import messages
from supervisor_node.arms.profile import Profile
from supervisor_node.values import Command

GRIPPER = "gripper/gripper_position_controller/commands"
COMMANDS, RECORDS = QoSProfile(depth=10), QoSProfile(depth=100)


class CrispDriver:
    """Publishes commands and their records; made early, for a new publisher finds its listeners after seconds only.

    :param node: the ROS node.
    """

    def __init__(self, node: Any, profile: Profile) -> None:
        self._node, self._profile = node, profile
        # Plain publishers: an inactive lifecycle publisher drops silently.
        self._pose = node.create_publisher(PoseStamped, "target_pose", COMMANDS)
        self._joints = node.create_publisher(JointState, "target_joint", COMMANDS)
        self._gripper = node.create_publisher(Float64MultiArray, GRIPPER, COMMANDS)
        self._record = node.create_publisher(CommandRecord, "~/command", RECORDS)
        self._commands = (self._pose, self._joints, self._gripper)

    def send(self, command: Command) -> None:
        """Send a command; its record goes first, so that nothing on the wire is ever without one."""
        frame = self._profile.frame
        self._record.publish(messages.record(command, frame))
        if command.motion.joints is not None:
            self._joints.publish(messages.target_joint(command, self._profile.joints.names))
        else:
            self._pose.publish(messages.target_pose(command, frame))
        if command.gripper is not None:
            self._gripper.publish(messages.gripper(command.gripper))

    def publishers(self) -> dict[str, int]:
        """Command topic to the number of its publishers, ours included, as the graph shows them."""
        return {each.topic_name: self._node.count_publishers(each.topic_name) for each in self._commands}

    def subscribers(self) -> dict[str, int]:
        """Command topic to the number of subscribers that found us."""
        return {each.topic_name: each.get_subscription_count() for each in self._commands}

    def close(self) -> None:
        """Remove the publishers."""
        for each in (*self._commands, self._record):
            self._node.destroy_publisher(each)
