"""The simulated Franka behind CRISP's topics (contracts.md §8), and a hold controller to switch to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import SetBool

from sim_node import messages
from sim_node.bed import Bed
from sim_node.crisp import CrispArm
from sim_node.pacing import Lockstep


class CrispDriver:
    """See :class:`sim_node.drives.ArmDriver`.

    :param lock: which commands are waited for; None: all are taken.
    """

    lockstep = True

    def __init__(self, node: Node, bed: Bed, lock: Callable[[], Lockstep | None]) -> None:
        self.arm, self._node, self._lock = CrispArm(bed), node, lock
        sensor, command = qos_profile_sensor_data, QoSProfile(depth=10)
        self._joints = node.create_publisher(JointState, "joint_states", sensor)
        self._pose = node.create_publisher(PoseStamped, "current_pose", sensor)
        self._targets = (
            node.create_subscription(PoseStamped, "target_pose", self._on_pose, command),
            node.create_subscription(JointState, "target_joint", self._on_joint, command),
        )
        topic = "gripper/gripper_position_controller/commands"
        node.create_subscription(Float64MultiArray, topic, self._on_gripper, command)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._held = node.create_publisher(Bool, "~/hold/active", latched)
        self._held.publish(Bool(data=False))
        node.create_service(SetBool, "~/hold", self._on_hold)

    # -- commands --------------------------------------------------------------------------------------------------
    def _rivals(self) -> int:
        return max(self._node.count_publishers(target.topic_name) for target in self._targets)

    def _on_pose(self, message: PoseStamped) -> None:
        p, q = message.pose.position, message.pose.orientation
        if self._awaits(message) and self.arm.target_pose((p.x, p.y, p.z), (q.x, q.y, q.z, q.w), self._rivals()):
            self._took_target()

    def _on_joint(self, message: JointState) -> None:
        if self._awaits(message) and self.arm.target_joint(message.name, message.position, self._rivals()):
            self._took_target()

    def _awaits(self, message: PoseStamped | JointState) -> bool:
        lock, stamp = self._lock(), message.header.stamp
        return lock is None or lock.wants_target((stamp.sec, stamp.nanosec))

    def _took_target(self) -> None:
        lock = self._lock()
        if lock is not None:
            lock.took_target()

    def _on_gripper(self, message: Float64MultiArray) -> None:
        lock = self._lock()
        if (lock is None or lock.wants_gripper()) and self.arm.gripper(message.data) and lock is not None:
            lock.took_gripper()

    def _on_hold(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self.arm.hold(request.data)
        self._held.publish(Bool(data=self.arm.held))
        response.success, response.message = True, f"{'hold' if self.arm.held else 'CRISP'} controller active"
        return response

    # -- what the node asks ----------------------------------------------------------------------------------------
    def begun(self) -> None:
        """See :meth:`ArmDriver.begun`."""
        self._held.publish(Bool(data=self.arm.held))

    def measured(self, stamp: Time) -> list[tuple[Any, Any]]:
        """See :meth:`ArmDriver.measured`."""
        bed = self.arm.bed
        pose, joints = messages.current_pose(bed, stamp), messages.joint_states(bed, stamp)
        return [(self._pose, pose), (self._joints, joints)]

    def problem(self) -> str:
        """See :meth:`ArmDriver.problem`."""
        return "several publishers on a target topic: frozen" if self._rivals() > 1 else ""
