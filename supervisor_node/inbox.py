"""The supervisor's subscriptions: messages become inputs of a step, and publishers that cannot be heard are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseStamped
from std_msgs.msg import Bool, Float64MultiArray
from vla_monitor.msg import ActionChunk, FailureScore, MonitorInfo, PolicyInfo

from supervisor_node import messages
from supervisor_node.announcements import MonitorAnnouncement, PolicyAnnouncement
from vla_uq.contracts import Chunk, Score


class Inbox:
    """Subscribes; its callbacks step the supervisor.

    :param node: the ROS node.
    :param step: takes inputs by name.
    :param qualities: qualities of service of the latest message, and of what is latched.
    """

    def __init__(self, node: Any, step: Callable[..., None], qualities: tuple[Any, Any]) -> None:
        self._node, self._step = node, step
        self._latest, self._latched = qualities
        self._subscriptions: list[Any] = []
        for name, kind, topic, read, quality in (
            ("policy", PolicyInfo, "policy_node/info", PolicyAnnouncement.from_message, self._latched),
            ("monitor", MonitorInfo, "monitor_node/info", MonitorAnnouncement.from_message, self._latched),
            ("lease", Bool, "~/teleop/active", _truth, self._latest),
            ("teleop_pose", PoseStamped, "~/teleop/target_pose", messages.pose, self._latest),
            ("teleop_gripper", Float64MultiArray, "~/teleop/gripper", messages.opening, self._latest),
            ("halt", Bool, "~/halt_request", _truth, self._latest),
        ):
            self.add(kind, topic, self._passing(name, read), quality)
        self.add(ActionChunk, "policy_node/chunk", self._passing("chunk", Chunk.from_message, "bad_chunk"))
        self.add(FailureScore, "monitor_node/score", self._passing("score", Score.from_message, "bad_score"))

    def add(self, kind: Any, topic: str, take: Callable[[Any], None], quality: Any = None) -> None:
        """Subscribe to one topic more; the newest message only, if no quality is given."""
        self._subscriptions.append(self._node.create_subscription(kind, topic, take, quality or self._latest))

    def add_estop(self, topic: str) -> None:
        """Subscribe to an e-stop's state."""
        self.add(Bool, topic, self._passing("estop", _truth))

    def _passing(self, name: str, read: Callable[[Any], Any], bad: str = "") -> Callable[[Any], None]:
        """A callback that hands a message over as the input ``name``, or as ``bad`` when it makes no sense."""

        def take(message: Any) -> None:
            try:
                value = read(message)
            except ValueError as error:
                self._node.get_logger().warning(f"{name}: {error}", throttle_duration_sec=5.0)
                if bad:
                    self._step(**{bad: str(error)})
            else:
                self._step(**{name: value})

        return take

    def unheard(self) -> str:
        """The first publisher on one of our topics that we cannot hear, for its quality of service, or "".

        DDS says nothing of a mismatch to whoever does not ask: such a publisher looks alive, and is silent.
        """
        for subscription in self._subscriptions:
            for endpoint in self._node.get_publishers_info_by_topic(subscription.topic_name):
                problem = incompatible(subscription.qos_profile, endpoint.qos_profile)
                if problem:
                    return f"{subscription.topic_name} of {endpoint.node_name}: {problem}"
        return ""

    def close(self) -> None:
        """Remove the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)


def incompatible(requested: Any, offered: Any) -> str:
    """Why a subscription never hears a publisher, or ""; both are quality-of-service profiles."""
    for policy, strong, weak in (
        ("reliability", "RELIABLE", "BEST_EFFORT"),
        ("durability", "TRANSIENT_LOCAL", "VOLATILE"),
    ):
        if getattr(requested, policy).name == strong and getattr(offered, policy).name == weak:
            return f"{policy}: expected {strong}, found {weak}"
    return ""


def _truth(message: Any) -> bool:
    return bool(message.data)
