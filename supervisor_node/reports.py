"""What the supervisor says about itself: state, events, locks for others, markers, diagnostics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from std_msgs.msg import Bool
from visualization_msgs.msg import MarkerArray
from vla_monitor.msg import EpisodeEvent, SupervisorState

from supervisor_node import messages
from supervisor_node.guards import Failure
from supervisor_node.states import State
from supervisor_node.values import Happening, Snapshot

_FREE = (State.IDLE, State.RESUMING, State.AUTONOMOUS, State.TELEOP)
"""States in which ``~/halt``, a drop-in lock for a twist_mux, is open."""


class Reports:
    """Plain publishers: an inactive lifecycle publisher drops silently.

    :param node: the ROS node.
    :param latched: quality of service of the state, ``latest`` of what is repeated, ``kept`` of what must not be lost.
    """

    def __init__(self, node: Any, run_id: bytes, frame: str, latched: Any, latest: Any, kept: Any) -> None:
        self._node, self._run_id, self._frame = node, run_id, frame
        self.sequence = 0
        self._state = node.create_publisher(SupervisorState, "~/state", latched)
        self._events = node.create_publisher(EpisodeEvent, "~/events", kept)
        self._halt = node.create_publisher(Bool, "~/halt", latest)
        self._intervention = node.create_publisher(Bool, "~/intervention", latest)
        self._markers = node.create_publisher(MarkerArray, "~/markers", latest)
        self._diagnostics = node.create_publisher(DiagnosticArray, "diagnostics", kept)

    def state(self, snapshot: Snapshot) -> None:
        """Say the state, on every topic that holds a part of it."""
        stamp = self._node.get_clock().now().to_msg()
        self.sequence += 1
        self._say(self._state, messages.state(snapshot, self._run_id, self.sequence, stamp, self._frame))
        self._say(self._halt, Bool(data=snapshot.state not in _FREE))
        self._say(self._intervention, Bool(data=snapshot.intervention))
        if self._markers.get_subscription_count():
            self._say(self._markers, messages.markers(snapshot, stamp, self._frame))

    def event(self, happening: Happening) -> None:
        """Say what happened."""
        self._say(self._events, messages.event(happening, self._node.get_clock().now().to_msg()))

    def health(self, snapshot: Snapshot, failures: Iterable[Failure]) -> None:
        """Say how it goes, for people."""
        name, stamp = self._node.get_fully_qualified_name(), self._node.get_clock().now().to_msg()
        self._say(self._diagnostics, messages.diagnostics(name, snapshot, failures, stamp))

    def _say(self, publisher: Any, message: Any) -> None:
        """Publish; what cannot be said must not stop what is done."""
        try:
            publisher.publish(message)
        except Exception as error:
            self._node.get_logger().warning(f"not published: {error}", throttle_duration_sec=5.0)

    def close(self) -> None:
        """Remove the publishers."""
        for each in (self._state, self._events, self._halt, self._intervention, self._markers, self._diagnostics):
            self._node.destroy_publisher(each)
