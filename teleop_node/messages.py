"""Between messages and plain values; the message types that a map may name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Pose as PoseMessage
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Bool, Float32, Header
from trajectory_msgs.msg import JointTrajectory

from teleop_node.values import Handling, Pose, Reading
from vla_uq.geometry import matrix_of, quaternion


# -- in ------------------------------------------------------------------------------------------------------------
def _joy(message: Any) -> Reading:
    axes = {f"axis{i}": float(value) for i, value in enumerate(message.axes)}
    return Reading({**axes, **{f"button{i}": float(value) for i, value in enumerate(message.buttons)}})


def _twist(message: Any) -> Reading:
    parts = {"linear": message.linear, "angular": message.angular}
    return Reading({f"{name}.{axis}": float(getattr(part, axis)) for name, part in parts.items() for axis in "xyz"})


def _number(message: Any) -> Reading:
    return Reading({"data": float(message.data)})


def _joints(message: Any) -> Reading:
    return Reading(dict(zip(message.name, map(float, message.position), strict=False)))


def _trajectory(message: Any) -> Reading:
    """Of several points the last: what a servo sends is one short step."""
    if not message.points:
        return Reading()
    return Reading(dict(zip(message.joint_names, map(float, message.points[-1].positions), strict=False)))


READERS: dict[str, tuple[Any, Callable[[Any], Reading]]] = {
    "sensor_msgs/msg/Joy": (Joy, _joy),
    "geometry_msgs/msg/Twist": (Twist, _twist),
    "geometry_msgs/msg/TwistStamped": (TwistStamped, lambda message: _twist(message.twist)),
    "geometry_msgs/msg/PoseStamped": (PoseStamped, lambda message: Reading(pose=pose(message.pose))),
    "sensor_msgs/msg/JointState": (JointState, _joints),
    "trajectory_msgs/msg/JointTrajectory": (JointTrajectory, _trajectory),
    "std_msgs/msg/Bool": (Bool, _number),
    "std_msgs/msg/Float32": (Float32, _number),
}
"""Type's name to its class and what reads it; channels: ``axis0`` … ``button0`` …, ``linear.x`` …, ``data``, joints."""


def pose(message: PoseMessage) -> Pose:
    """A ``geometry_msgs/Pose``; not finite where its quaternion is none."""
    p, q = message.position, message.orientation
    return Pose(np.array([p.x, p.y, p.z]), matrix_of([q.x, q.y, q.z, q.w]))


# -- out -----------------------------------------------------------------------------------------------------------
def target(value: Pose, stamp: Time, frame: str) -> PoseStamped:
    """What goes out on ``target_pose``."""
    message = PoseStamped(header=Header(stamp=stamp, frame_id=frame))
    p, q = message.pose.position, message.pose.orientation
    p.x, p.y, p.z = map(float, value.position)
    q.x, q.y, q.z, q.w = map(float, quaternion(value.rotation))
    return message


def diagnostics(name: str, device: str, handling: Handling, stamp: Time) -> DiagnosticArray:
    """The device's health for people: not being held is none of a problem, being unusable is."""
    idle = handling.active or handling.note == "the deadman is not held"
    status = DiagnosticStatus(
        level=DiagnosticStatus.OK if idle else DiagnosticStatus.WARN,
        name=name,
        hardware_id=device,
        message=handling.note or "held",
        values=[KeyValue(key="active", value=str(handling.active).lower())],
    )
    return DiagnosticArray(header=Header(stamp=stamp), status=[status])


def opening(gripper: float | None) -> list[float]:
    """The data of a gripper message; empty for no wish."""
    return [] if gripper is None or not math.isfinite(gripper) else [gripper]
