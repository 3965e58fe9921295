"""CRISP's topics: the newest target wins, nothing expires, and a second publisher freezes everything."""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from robot_doubles.answers import STEADY
from robot_doubles.plant import Plant

Vector = NDArray[np.float64]


class Kinematics(Protocol):
    """What a pose is in joints. Positions (3,) m, quaternions (4,) x, y, z, w."""

    def forward(self, q: Vector) -> tuple[Vector, Vector]: ...

    def inverse(self, position: Vector, quaternion: Vector, q: Vector) -> Vector: ...


class Gantry:
    """The first three joints move the grip along x, y, z; nothing turns it.

    :param home: joints (n,) at which the grip is at ``centre``.
    """

    def __init__(self, home: Vector, centre: tuple[float, float, float] = (0.0, 0.0, 0.3)) -> None:
        self._home, self._centre = home.copy(), np.array(centre)

    def forward(self, q: Vector) -> tuple[Vector, Vector]:
        return self._centre + (q - self._home)[:3], np.array([0.0, 0.0, 0.0, 1.0])

    def inverse(self, position: Vector, quaternion: Vector, q: Vector) -> Vector:
        return np.concatenate([self._home[:3] + position - self._centre, q[3:]])


class CrispDouble:
    """CRISP's cartesian and joint impedance controllers and its gripper command."""

    def __init__(self, node: Node, plant: Plant, kinematics: Kinematics | None = None) -> None:
        self.node, self.plant = node, plant
        self.kinematics: Kinematics = kinematics or Gantry(plant.q)
        self.received: list[PoseStamped | JointState] = []
        """All targets, in order."""
        self.ignored: Counter[str] = Counter()
        """Targets that changed nothing, by reason."""
        self.openings: list[float] = []
        """Gripper commands."""
        self.silent = False
        """The pose is no longer published."""
        self.follows: set[type] = {PoseStamped, JointState}
        """Kinds of targets that move the arm."""
        node.create_subscription(PoseStamped, "target_pose", self._on_pose, 10)
        node.create_subscription(JointState, "target_joint", self._on_joints, 10)
        node.create_subscription(
            Float64MultiArray,
            "gripper/gripper_position_controller/commands",
            lambda message: self.openings.extend(message.data),
            10,
        )
        self._pose = node.create_publisher(PoseStamped, "current_pose", 10)
        node.create_timer(0.01, self._update, clock=STEADY)

    @property
    def frozen(self) -> bool:
        """Whether two publishers make it ignore every target."""
        return any(self.node.count_publishers(topic) > 1 for topic in ("target_pose", "target_joint"))

    def switch(self, kind: type, on: bool) -> None:
        """The controller that follows such targets was switched on, where the arm is, or off."""
        (self.follows.add if on else self.follows.discard)(kind)
        self.plant.stand()

    def _takes(self, message: Any, problem: str) -> bool:
        self.received.append(message)
        problem = problem if type(message) in self.follows else "not followed by the active controller"
        problem = "several publishers" if self.frozen else problem
        if problem:
            self.ignored[problem] += 1
        return not problem

    def _on_pose(self, message: PoseStamped) -> None:
        p, o = message.pose.position, message.pose.orientation
        position, quaternion = np.array([p.x, p.y, p.z]), np.array([o.x, o.y, o.z, o.w])
        if self._takes(message, ""):
            self.plant.follow(self.kinematics.inverse(position, quaternion, self.plant.q))

    def _on_joints(self, message: JointState) -> None:
        names = list(message.name or self.plant.names)
        right = sorted(names) == sorted(self.plant.names) and len(message.position) == len(names)
        if self._takes(message, "" if right else "unknown joints"):
            self.plant.follow([message.position[names.index(name)] for name in self.plant.names])

    def _update(self) -> None:
        self.plant.advance()
        if self.silent:
            return
        message = PoseStamped()
        message.header.stamp = self.node.get_clock().now().to_msg()
        message.header.frame_id = "base"
        position, quaternion = self.kinematics.forward(self.plant.measured())
        p, o = message.pose.position, message.pose.orientation
        p.x, p.y, p.z = map(float, position)
        o.x, o.y, o.z, o.w = map(float, quaternion)
        self._pose.publish(message)
