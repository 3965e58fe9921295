"""Where the arm is seen: its joint states, in one message or several, and the pose of its grip frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState

from supervisor_node import messages
from supervisor_node.arms.base import Arm
from supervisor_node.values import JointState as Joints

_SOONEST = 0.004
"""Seconds between two messages of a topic that are looked at: some robots publish a thousand a second."""
_KEPT = 0.5
"""Seconds that joints of another message (the fingers') count as seen."""


class Sight:
    """Subscribes to the arm's sources; its callbacks step the supervisor.

    :param node: the ROS node.
    :param step: takes inputs by name.
    :param on_stamp: takes the stamp (s) of what the arm measured, which is the time of lockstep.
    :param add: subscribes: type, topic, callback, quality of service.
    :param sensor: quality of service of sensor data.
    :param lockstep: every message is looked at.
    """

    def __init__(
        self,
        node: Any,
        arm: Arm,
        step: Callable[..., None],
        on_stamp: Callable[[float], None],
        add: Callable[[Any, str, Callable[[Any], None], Any], None],
        sensor: Any,
        lockstep: bool,
    ) -> None:
        self._node, self._arm, self._step, self._on_stamp = node, arm, step, on_stamp
        self._soonest = 0.0 if lockstep else _SOONEST
        self._looked: dict[str, float] = {}
        self._places: dict[str, tuple[float, float]] = {}
        sources = arm.profile.sources
        for topic in sources.joint_states:
            add(JointState, topic, partial(self._on_joints, topic), sensor)
        self._pose: Any = None
        if sources.pose:
            add(PoseStamped, sources.pose, partial(self._on_pose, sources.pose), sensor)
        else:
            self._pose = node.create_publisher(PoseStamped, "current_pose", sensor)

    def close(self) -> None:
        """Remove the publisher."""
        if self._pose is not None:
            self._node.destroy_publisher(self._pose)

    def _too_soon(self, topic: str) -> bool:
        now = time.monotonic()
        if now - self._looked.get(topic, -np.inf) < self._soonest:
            return True
        self._looked[topic] = now
        return False

    def _on_pose(self, topic: str, message: PoseStamped) -> None:
        pose = messages.pose(message)
        if not (self._too_soon(topic) and pose.finite):  # what is broken is never passed over
            self._on_stamp(messages.seconds(message))
            self._step(pose=pose)

    def _on_joints(self, topic: str, message: JointState) -> None:
        if self._too_soon(topic) and np.isfinite(message.position).all():
            return
        joints = messages.joint_state(message)
        if len(self._arm.profile.sources.joint_states) > 1:
            joints = self._merged(joints)
            if self._arm.profile.joints.names[0] not in message.name:
                return  # of the fingers alone: seen with the arm's next message
        self._on_stamp(messages.seconds(message))
        if self._pose is None:
            self._step(joints=joints)
        else:
            self._with_pose(joints)

    def _merged(self, joints: Joints) -> Joints:
        """The joints of this message, and those that other messages told not long ago."""
        now = time.monotonic()
        self._places.update({n: (q, now) for n, q in zip(joints.names, joints.positions.tolist(), strict=False)})
        fresh = {name: q for name, (q, at) in self._places.items() if now - at <= _KEPT}
        return Joints(tuple(fresh), np.array(list(fresh.values())), joints.stamp)

    def _with_pose(self, joints: Joints) -> None:
        """Joints, and the pose that follows from them, which is published for policy and recorder."""
        wanted, index = self._arm.profile.joints.names, {name: i for i, name in enumerate(joints.names)}
        whole = all(index.get(name, len(joints.positions)) < len(joints.positions) for name in wanted)
        q = joints.positions[[index[name] for name in wanted]] if whole else None
        pose = self._arm.pose(q) if q is not None and np.isfinite(q).all() else None
        if pose is None:
            self._step(joints=joints)
            return
        frame = self._arm.profile.frame
        message = PoseStamped(header=messages.header(joints.stamp, frame), pose=messages.pose_message(pose))
        self._step(joints=joints, pose=messages.pose(message))
        self._pose.publish(message)
