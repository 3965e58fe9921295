"""What all drivers share: records, the description of the robot, the hold controller, and who else is on the topics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from std_msgs.msg import String
from vla_monitor.msg import CommandRecord

from supervisor_node import messages
from supervisor_node.arms.base import Arm
from supervisor_node.drivers.health import Health
from supervisor_node.drivers.services import Caller
from supervisor_node.switching import Done, open_switch
from supervisor_node.values import Command

COMMANDS, RECORDS = 1, 100
"""Depths of queues: a network that was cut must not deliver commands of before, when it heals."""
DEADMAN = "deadman_node"
"""Its publisher on a command topic is expected: it sends nothing unless the supervisor falls silent."""
NO_RECOVERY = "this arm has no recovery by software: clear its error by hand, then reset"


@dataclass(frozen=True)
class Qualities:
    """Qualities of service: of what is latched, and of sensor data."""

    latched: Any
    sensor: Any


class Driver:
    """Publishes commands and their records; made early, for a new publisher finds its listeners after seconds only.

    :param node: the ROS node. Publishers are plain: an inactive lifecycle publisher drops silently.
    :param step: takes inputs of the supervisor that cannot wait for the next report.
    :raises InputError: a message package that the arm needs is not installed.
    """

    def __init__(self, node: Any, arm: Arm, qualities: Qualities, step: Callable[..., None]) -> None:
        self.node, self.arm, self.profile, self.qualities = node, arm, arm.profile, qualities
        self.caller = Caller()
        self.switched = self._given_back = False
        self.hold_switch = open_switch(node, self.profile, qualities.latched)
        self._record = node.create_publisher(CommandRecord, "~/command", RECORDS)
        self._commands: list[Any] = []
        self._described = ""
        self._made: list[tuple[Callable[[Any], Any], Any]] = []
        self._step = step
        self._health = Health(self, self.report_at_once)
        if arm.lacks:
            assert self.profile.kinematics is not None
            self.subscribe(String, self.profile.kinematics.description, self._on_description, qualities.latched)

    # -- for drivers -----------------------------------------------------------------------------------------------
    def publish_on(self, kind: Any, topic: str) -> Any:
        """A publisher of commands, of which we must be the only one."""
        self._commands.append(self.node.create_publisher(kind, topic, COMMANDS))
        return self._commands[-1]

    def subscribe(self, kind: Any, topic: str, take: Callable[[Any], None], quality: Any) -> None:
        """A subscription that lives as long as the driver."""
        self._made.append((self.node.destroy_subscription, self.node.create_subscription(kind, topic, take, quality)))

    def client(self, kind: Any, name: str) -> Any:
        """A client that lives as long as the driver."""
        made = self.node.create_client(kind, name)
        self._made.append((self.node.destroy_client, made))
        return made

    def move(self, command: Command) -> None:
        """Put a command on the wire."""
        raise NotImplementedError

    # -- for the node ----------------------------------------------------------------------------------------------
    def send(self, command: Command) -> None:
        """Send a command; its record goes first, so that nothing on the wire is ever without one."""
        self._record.publish(messages.record(command, self.profile.frame))
        self.move(command)

    def cancel(self) -> None:
        """Cancel all goals of the arm's actions, whoever sent them. Here there are none."""

    def switch(self, controller: str) -> None:
        """Switch to the hold controller; what comes of it is seen on the arm."""
        if self.hold_switch is not None:
            self.switched, self._given_back = True, False
            self.hold_switch.hold(self._on_switch)

    def _on_switch(self, problem: str) -> None:
        if problem:
            self.node.get_logger().error(f"hold controller: {problem}")

    def recover(self, done: Done) -> None:
        """The recovery of robot and controllers; where nobody manages them, the way back from the hold controller."""

        def answered(problem: str) -> None:
            self._given_back = not problem
            done(problem)

        if self._health.recovers:
            self._health.recover(answered)
        elif self.hold_switch is not None and self.hold_switch.active:
            self.hold_switch.back(answered)
        else:
            done(NO_RECOVERY)

    def report(self) -> dict[str, str]:
        """Inputs of the supervisor, some times a second: ``adapter``, ``hardware`` and ``foreign_goal``."""
        self.caller.look()
        self._health.look()
        lacks, held = self._described or self.arm.lacks, self._held()
        if self._given_back and not held:  # what is known of the hold controller comes later than its switch
            self.switched = self._given_back = False
        taken, unready = ("", held) if self.switched else (held, "")
        hardware = self._health.broken(self.switched) or taken
        return {"adapter": lacks or unready or self._health.unknown, "hardware": hardware, "foreign_goal": ""}

    def report_at_once(self) -> None:
        """Report now: what has changed cannot wait."""
        self._step(**self.report())

    def _held(self) -> str:
        """Where the hold controller is active, our commands reach nothing; that is a fault where we did not switch to
        it, for the deadman did.
        """
        if self.hold_switch is None:
            return ""
        self.hold_switch.look()
        text = f"controller: {self.profile.hold_controller} holds the arm: call recover_robot"
        return text if self.hold_switch.active else ""

    def publishers(self) -> dict[str, int]:
        """Command topic to the number of its publishers, ours included, as the graph shows them."""
        return {each.topic_name: self._rivals(each.topic_name) for each in self._commands}

    def _rivals(self, topic: str) -> int:
        count = int(self.node.count_publishers(topic))
        if count < 2:
            return count
        names = [endpoint.node_name for endpoint in self.node.get_publishers_info_by_topic(topic)]
        return count - min(names.count(DEADMAN), 1)

    def subscribers(self) -> dict[str, int]:
        """Command topic to the number of subscribers that found us."""
        return {each.topic_name: each.get_subscription_count() for each in self._commands}

    def close(self) -> None:
        """Remove everything that was made."""
        for each in (*self._commands, self._record):
            self.node.destroy_publisher(each)
        for destroy, made in self._made:
            destroy(made)

    def _on_description(self, message: String) -> None:
        if self.arm.lacks:
            self._described = self.arm.describe(message.data)
            if self._described:
                self.node.get_logger().error(self._described)
