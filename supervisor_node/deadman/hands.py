"""The deadman's own hold on arms that take joint targets: one target where the arm was last sent, and no goal left.

Nothing on such an arm runs on for longer than ``max_ahead``; this ends it sooner, and whatever goals others sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from action_msgs.srv import CancelGoal
from numpy.typing import NDArray
from vla_monitor.msg import CommandRecord

from supervisor_node.arms.profile import Profile
from supervisor_node.drivers.wire import joint_target


class JointHold:
    """Publishes nothing before it is asked to; its publisher and client exist from the start.

    :param node: the ROS node; the supervisor's guard expects its publisher by the node's name.
    :raises InputError: a message package that the arm needs is not installed.
    """

    def __init__(self, node: Any, profile: Profile) -> None:
        self._profile, self._last = profile, np.zeros(0)
        kind, topic, _ = joint_target(profile, np.zeros(len(profile.joints.names)))
        self._publisher = node.create_publisher(kind, topic, 10)
        action = f"{profile.jtc.controller}/follow_joint_trajectory" if profile.jtc is not None else ""
        self._cancel = node.create_client(CancelGoal, f"{action}/_action/cancel_goal") if action else None
        node.create_subscription(CommandRecord, "supervisor_node/command", self._on_record, 10)

    def _on_record(self, record: CommandRecord) -> None:
        q: NDArray[np.float64] = np.asarray(record.joints, np.float64)
        if len(q) == len(self._profile.joints.names) and np.isfinite(q).all():
            self._last = q

    def hold(self, done: Callable[[str], None]) -> None:
        """Hold where the arm was last sent, and cancel every goal (a zero id and stamp mean all of them)."""
        if self._cancel is not None and self._cancel.service_is_ready():
            self._cancel.call_async(CancelGoal.Request())
        if not len(self._last):
            done("no command of the supervisor was seen")
            return
        self._publisher.publish(joint_target(self._profile, self._last)[2])
        done("")
