"""Whole robots made of doubles, in a thread of their own, so that they go on while a test waits for something."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from robot_doubles.answers import STEADY
from robot_doubles.plant import Plant

Vector = NDArray[np.float64]
Forward = Callable[[Vector], tuple[Sequence[float], Sequence[float]]]
"""Joints (n,) rad → position (3,) m, quaternion (4,) x, y, z, w."""
READY = (0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785)
FR3_LOWER = (-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159)
FR3_UPPER = (2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159)
WIDOWX = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")
RAISED = (0.0, -0.6, 0.5, 0.0, 0.9, 0.0)
WIDOWX_LOWER = (-3.1416, -1.8850, -2.1468, -3.1416, -1.7454, -3.1416)
WIDOWX_UPPER = (3.1416, 1.9897, 1.6058, 3.1416, 2.1468, 3.1416)


def franka_plant(clock: Callable[[], float] = time.monotonic) -> Plant:
    """An FR3 that is compensated for gravity; under load it hangs 2 mrad low in shoulder and elbow."""
    names = tuple(f"fr3_joint{i}" for i in range(1, 8))
    droop = (0.0, 0.002, 0.0, -0.002, 0.0, 0.0, 0.0)
    return Plant(names, READY, FR3_LOWER, FR3_UPPER, clock, droop=droop)


def widowx_plant(clock: Callable[[], float] = time.monotonic) -> Plant:
    """A WidowX-250s: it hangs up to 10 mrad low, and falls without torque."""
    droop, fall = (0.0, 0.01, 0.008, 0.0, 0.004, 0.0), (0.0, 4.0, 3.0, 0.0, 3.0, 0.0)
    return Plant(WIDOWX, RAISED, WIDOWX_LOWER, WIDOWX_UPPER, clock, droop=droop, fall=fall, top_speed=3.1)


@dataclass
class Robot:
    """One robot. What it has not is None.

    :param arm: JtcDouble, CrispDouble or XsDouble.
    :param states: JointStates.
    :param franka: FrankaDouble.
    :param gripper: FrankaGripperDouble, or the JtcDouble of the fingers.
    :param fingers: the plant of the fingers, where a JtcDouble drives them.
    """

    plant: Plant
    arm: Any
    states: Any
    manager: Any = None
    franka: Any = None
    gripper: Any = None
    fingers: Plant | None = None


@dataclass
class Rig:
    """Makes nodes and robots, and runs them.

    :param domain: DDS domain; None: the environment's.
    :param arguments: of the command line, as ROS takes them.
    """

    domain: int | None = None
    arguments: Sequence[str] | None = None
    nodes: list[Node] = field(default_factory=list)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(args=list(self.arguments or []), context=self.context, domain_id=self.domain)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._stop = threading.Event()

    def node(self, name: str, namespace: str = "") -> Node:
        """A further node; before :meth:`start`."""
        node = rclpy.create_node(name, namespace=namespace, context=self.context)
        self._executor.add_node(node)
        self.nodes.append(node)
        return node

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._executor.spin_once(timeout_sec=0.1)
            except ExternalShutdownException:
                return

    def close(self) -> None:
        """End the thread, then everything else."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)
        self._executor.shutdown()
        for node in self.nodes:
            node.destroy_node()
        self.context.try_shutdown()

    # -- robots ----------------------------------------------------------------------------------------------------
    def franka_jtc(self, namespace: str = "", description: str = "", forward: Forward | None = None) -> Robot:
        """franka_ros2 with the controllers of its MoveIt configuration and its gripper.

        :param description: URDF, published latched on ``robot_description``; "" for none.
        :param forward: of ``franka_robot_state_broadcaster/current_pose``; None: no pose is published.
        """
        from robot_doubles.franka import FrankaDouble
        from robot_doubles.franka_gripper import FrankaGripperDouble
        from robot_doubles.joint_states import JointStates
        from robot_doubles.jtc import JtcDouble

        plant, hardware = franka_plant(), "FrankaHardwareInterface"
        manager = self._manager(namespace)
        manager.add_hardware(hardware)
        arm = JtcDouble(self.node("fr3_arm_controller", namespace), plant)
        arm.configure(interpolate_from_desired_state=True)
        broadcaster = self.node("joint_state_broadcaster", namespace)
        states = JointStates(broadcaster, plant, "franka/joint_states")
        self._add_arm(manager, "fr3_arm_controller", arm, hardware)
        franka = FrankaDouble(self.node("franka", namespace), plant, manager, hardware)
        gripper = FrankaGripperDouble(self.node("franka_gripper", namespace))
        self._describe(broadcaster, description)
        if forward is not None:
            self._pose(broadcaster, plant, "franka_robot_state_broadcaster/current_pose", forward)
        return Robot(plant, arm, states, manager, franka, gripper)

    def franka_crisp(self, namespace: str = "", kinematics: Any = None) -> Robot:
        """A Franka behind CRISP's controllers."""
        from robot_doubles.crisp import CrispDouble
        from robot_doubles.joint_states import JointStates

        plant, manager = franka_plant(), self._manager(namespace)
        node = self.node("cartesian_impedance_controller", namespace)
        arm = CrispDouble(node, plant, kinematics)
        fingers = ("fr3_finger_joint1", "fr3_finger_joint2")
        states = JointStates(node, plant, extra=lambda: (fingers, [0.04 * (arm.openings or [1.0])[-1]] * 2))
        claims = [f"{name}/effort" for name in plant.names]
        for name, active in (("cartesian_impedance_controller", True), ("joint_impedance_controller", False)):
            manager.add(name, f"crisp_controllers/{name}", claims, active=active)
        return Robot(plant, arm, states, manager)

    def franka_crisp_fr3(self, namespace: str = "") -> Robot:
        """An FR3 behind CRISP's controllers on franka_ros2's hardware; each follows its own kind of target only."""
        from robot_doubles.crisp import CrispDouble
        from robot_doubles.franka import FrankaDouble
        from robot_doubles.franka_gripper import FrankaGripperDouble
        from robot_doubles.joint_states import JointStates

        plant, manager, hardware = franka_plant(), self._manager(namespace), "FrankaHardwareInterface"
        manager.add_hardware(hardware)
        arm = CrispDouble(self.node("cartesian_impedance_controller", namespace), plant)
        arm.follows = {PoseStamped}
        states = JointStates(self.node("joint_state_broadcaster", namespace), plant, "franka/joint_states")
        franka = FrankaDouble(self.node("franka", namespace), plant, manager, hardware)
        gripper = FrankaGripperDouble(self.node("franka_gripper", namespace))
        manager.add("pose_broadcaster", "crisp_controllers/PoseBroadcaster")
        claims = [f"{name}/effort" for name in plant.names]
        for name, target in (
            ("cartesian_impedance_controller", PoseStamped),
            ("joint_impedance_controller", JointState),
        ):
            kind, change = "crisp_controllers/CartesianController", partial(arm.switch, target)
            manager.add(name, kind, claims, active=target in arm.follows, hardware=hardware, on_change=change)
        return Robot(plant, arm, states, manager, franka, gripper)

    def widowx_xs(self, namespace: str = "wx250s", description: str = "") -> Robot:
        """A WidowX-250s behind xs_sdk."""
        from robot_doubles.xs import XsDouble

        node = self.node("xs_sdk", namespace)
        arm = XsDouble(node, widowx_plant())
        self._describe(node, description)
        return Robot(arm.plant, arm, arm.states)

    def widowx_jtc(self, namespace: str = "wx250s", description: str = "") -> Robot:
        """A WidowX-250s behind ros_control: arm and fingers have a trajectory controller each."""
        from robot_doubles.joint_states import JointStates
        from robot_doubles.jtc import JtcDouble

        plant, manager = widowx_plant(), self._manager(namespace)
        fingers = Plant(("left_finger",), (0.037,), (0.015,), (0.037,), time.monotonic, top_speed=0.1)
        arm = JtcDouble(self.node("arm_controller", namespace), plant)
        arm.configure(interpolate_from_desired_state=True)
        gripper = JtcDouble(self.node("gripper_controller", namespace), fingers)
        node = self.node("joint_state_broadcaster", namespace)
        states = JointStates(node, plant, extra=lambda: (fingers.names, fingers.q.tolist()))
        self._add_arm(manager, "arm_controller", arm)
        self._add_arm(manager, "gripper_controller", gripper)
        self._describe(node, description)
        return Robot(plant, arm, states, manager, gripper=gripper, fingers=fingers)

    def _manager(self, namespace: str) -> Any:
        from robot_doubles.controllers import ControllerManagerDouble

        manager = ControllerManagerDouble(self.node("controller_manager", namespace))
        manager.add("joint_state_broadcaster", "joint_state_broadcaster/JointStateBroadcaster")
        return manager

    def _add_arm(self, manager: Any, name: str, arm: Any, hardware: str = "") -> None:
        kind = "joint_trajectory_controller/JointTrajectoryController"
        claims = [f"{joint}/position" for joint in arm.follower.names]
        manager.add(name, kind, claims, hardware=hardware, on_change=arm.activate)

    def _describe(self, node: Node, description: str) -> None:
        if description:
            latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
            node.create_publisher(String, "robot_description", latched).publish(String(data=description))

    def _pose(self, node: Node, plant: Plant, topic: str, forward: Forward) -> None:
        publisher = node.create_publisher(PoseStamped, topic, qos_profile_sensor_data)

        def publish() -> None:
            message = PoseStamped()
            message.header.stamp, message.header.frame_id = node.get_clock().now().to_msg(), "fr3_link0"
            position, quaternion = forward(plant.measured())
            p, o = message.pose.position, message.pose.orientation
            p.x, p.y, p.z = map(float, position)
            o.x, o.y, o.z, o.w = map(float, quaternion)
            publisher.publish(message)

        node.create_timer(0.01, publish, clock=STEADY)
