"""The recorder process: every topic that :mod:`vla_cli.bag.topics` lists for an arm, in one MCAP bag, until it is asked
to stop.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image

from supervisor_node.arms.profile import load_profile
from supervisor_node.drivers.services import interfaces
from vla_cli.bag.topics import Offer, Topic, topics_of
from vla_cli.bag.writer import COMPRESSED, BagWriter, compress
from vla_uq.errors import InputError

DEPTH = 1000
"""Messages that wait while others are written: a recorder must not lose any to a slow disk."""
PERIOD = 0.01
"""Seconds between two looks for messages."""
Write = Callable[[bytes, int], None]


class Recorder(Node):
    """Raw subscriptions into a bag.

    A message is filed under its publisher's own stamp of sending (the middleware's ``source_timestamp``): on one
    host these keep cause before effect, which the order of arrival in this process does not.

    :raises InputError: when there is no folder to write to, no such arm, or message definitions are missing.
    """

    def __init__(self) -> None:
        super().__init__("recorder")
        text = "folder of the new bag"
        folder = self.declare_parameter("bag", "", ParameterDescriptor(description=text, read_only=True)).value
        if not folder:
            raise InputError("no folder for the bag", where="recorder: parameter bag", remedy="set it")
        text = "record the cameras and the overlay too"
        pictures = self.declare_parameter("pictures", True, ParameterDescriptor(description=text, read_only=True)).value
        text = "arm profile: a name of config/arms, or a file; its driver's topics are recorded"
        robot = ParameterDescriptor(description=text, read_only=True)
        profile = load_profile(self.declare_parameter("robot", "franka_crisp_sim", robot).value)
        self._bag = BagWriter(Path(folder))
        self._followed: list[tuple[Any, Write]] = []
        for topic in topics_of(profile):
            if pictures or not topic.image:
                self._follow(topic)

    def _follow(self, topic: Topic) -> None:
        name = self.resolve_topic_name(topic.name)
        write = self._image_writer(name, topic.image) if topic.image else self._writer(name, topic.type)
        subscription = self.create_subscription(
            message_class(topic.type), name, lambda message: None, quality(topic.offer), raw=True
        )
        self._followed.append((subscription, write))

    def _writer(self, name: str, kind: str) -> Write:
        self._bag.add([(name, kind)])
        return lambda data, stamp: self._bag.write(name, stamp, data)

    def _image_writer(self, name: str, rate: float) -> Write:
        """JPEG, at most ``rate`` a second."""
        compressed, last = f"{name}/compressed", 0
        self._bag.add([(compressed, COMPRESSED)])

        def write(data: bytes, stamp: int) -> None:
            nonlocal last
            # A quarter of a period of slack: frames of 20 Hz are thinned to 10 Hz, not to 6.7.
            if stamp - last < 0.75e9 / rate:
                return
            last = stamp
            image = compress(deserialize_message(data, Image), CompressedImage())
            self._bag.write(compressed, stamp, serialize_message(image))

        return write

    def poll(self) -> int:
        """Write what has arrived; returns how many messages that were.

        Taken straight from the subscriptions: nothing here needs to happen at once, and an executor that wakes up for
        each message costs six times the CPU, which the nodes that are recorded would miss.
        """
        taken = 0
        for subscription, write in self._followed:
            with subscription.handle:
                while (found := subscription.handle.take_message(subscription.msg_type, True)) is not None:
                    data, info = found
                    write(data, stamp_of(info))
                    taken += 1
        return taken

    def close(self) -> None:
        """Finish the bag."""
        self._bag.close()


def message_class(name: str) -> type[Any]:
    """``pkg/msg/Name`` to the generated class.

    :raises InputError: the message package is not installed.
    """
    package, _, kind = name.split("/")
    found: type[Any] = getattr(interfaces(f"{package}.msg"), kind)
    return found


def quality(offer: Offer) -> QoSProfile:
    """What to ask for, so that what is offered matches."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=DEPTH,
        reliability=ReliabilityPolicy.BEST_EFFORT if offer is Offer.SENSOR else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if offer is Offer.LATCHED else DurabilityPolicy.VOLATILE,
    )


def stamp_of(info: Mapping[str, int]) -> int:
    """Time of sending (ns), or of arrival where the middleware does not tell."""
    return int(info.get("source_timestamp") or info.get("received_timestamp") or time.time_ns())


def main(args: list[str] | None = None) -> int:
    """Record until SIGINT or SIGTERM, then finish the bag."""
    # rclpy's own handlers would tear the context down under the messages that still wait.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stop: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, frame: stop.append(received))
    try:
        recorder = Recorder()
    except InputError as error:
        print(f"recorder: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    try:
        while not stop:
            recorder.poll()
            time.sleep(PERIOD)
        while recorder.poll():
            pass
    finally:
        recorder.close()
        recorder.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
