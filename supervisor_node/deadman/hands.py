"""The deadman's own hold on arms that take joint targets: one target where the arm was last sent, and no goal left.

Nothing on such an arm runs on for longer than ``max_ahead``; this ends it sooner, and whatever goals others sent. A
gripper's PWM is another matter: it lasts until somebody changes it, trips the motor's overload, and drops what is held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from action_msgs.srv import CancelGoal
from numpy.typing import NDArray
from vla_monitor.msg import CommandRecord

from supervisor_node.arms.parts import GripperPwm
from supervisor_node.arms.profile import Profile
from supervisor_node.drivers.services import interfaces
from supervisor_node.drivers.wire import joint_target
from supervisor_node.grasp import eased


class JointHold:
    """Publishes nothing before it is asked to; its publishers and client exist from the start.

    Like the supervisor it publishes a record (``~/command``) before each target, so that a recording tells whose it is.

    :param node: the ROS node; the supervisor's guard expects its publisher by the node's name.
    :raises InputError: a message package that the arm needs is not installed.
    """

    def __init__(self, node: Any, profile: Profile) -> None:
        self._node, self._profile, self._last = node, profile, np.zeros(0)
        kind, topic, _ = joint_target(profile, np.zeros(len(profile.joints.names)))
        self._record = node.create_publisher(CommandRecord, "~/command", 10)
        self._publisher = node.create_publisher(kind, topic, 10)
        action = f"{profile.jtc.controller}/follow_joint_trajectory" if profile.jtc is not None else ""
        self._cancel = node.create_client(CancelGoal, f"{action}/_action/cancel_goal") if action else None
        node.create_subscription(CommandRecord, "supervisor_node/command", self._on_record, 10)
        pwm, xs = profile.gripper_pwm, profile.xs
        self._grip = PwmEase(node, pwm, xs.prefix) if pwm is not None and xs is not None else None

    def _on_record(self, record: CommandRecord) -> None:
        q: NDArray[np.float64] = np.asarray(record.joints, np.float64)
        if len(q) == len(self._profile.joints.names) and np.isfinite(q).all():
            self._last = q

    def hold(self, done: Callable[[str], None]) -> None:
        """Hold where the arm was last sent, and cancel every goal (a zero id and stamp mean all of them)."""
        if self._cancel is not None and self._cancel.service_is_ready():
            self._cancel.call_async(CancelGoal.Request())
        if self._grip is not None:
            self._grip.ease()
        if not len(self._last):
            done("no command of the supervisor was seen")
            return
        record = CommandRecord(joints=self._last.tolist(), gripper=float("nan"))
        record.header.stamp, record.header.frame_id = self._node.get_clock().now().to_msg(), self._profile.frame
        self._record.publish(record)
        self._publisher.publish(joint_target(self._profile, self._last)[2])
        done("")


class PwmEase:
    """The gripper's motor: what opens is stopped, what closes goes on with the holding PWM."""

    def __init__(self, node: Any, part: GripperPwm, prefix: str) -> None:
        self._kind, self._part = interfaces("interbotix_xs_msgs.msg").JointSingleCommand, part
        topic = f"{prefix}/commands/joint_single"
        self._pwm: float | None = None
        self._publisher = node.create_publisher(self._kind, topic, 10)
        node.create_subscription(self._kind, topic, self._on_command, 10)

    def _on_command(self, message: Any) -> None:
        if message.name == self._part.joint:
            self._pwm = float(message.cmd)

    def ease(self) -> None:
        """Send what does no harm for long; nothing where nobody has led the gripper."""
        if self._pwm is not None:
            self._publisher.publish(self._kind(name=self._part.joint, cmd=eased(self._pwm, self._part)))
