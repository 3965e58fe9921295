"""The recorder process: every topic of :mod:`vla_cli.bag.topics` into one MCAP bag, until it is asked to stop."""

from __future__ import annotations

import importlib
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image

from vla_cli.bag.topics import TOPICS, Offer, Topic
from vla_cli.bag.writer import COMPRESSED, BagWriter, compress
from vla_uq.errors import InputError

DEPTH = 1000
"""Messages that wait while one is written: a recorder must not lose any to a slow disk."""


class Recorder(Node):
    """Raw subscriptions into a bag.

    A message is filed under its publisher's own stamp of sending (the middleware's ``source_timestamp``): on one
    host these keep cause before effect, which the order of arrival in this process does not.

    :raises InputError: when there is no folder to write to, or this package's message definitions are missing.
    """

    def __init__(self) -> None:
        super().__init__("recorder")
        text = "folder of the new bag"
        folder = self.declare_parameter("bag", "", ParameterDescriptor(description=text, read_only=True)).value
        if not folder:
            raise InputError("no folder for the bag", where="recorder: parameter bag", remedy="set it")
        self._bag = BagWriter(Path(folder))
        self.written = 0
        for topic in TOPICS:
            self._follow(topic)

    def _follow(self, topic: Topic) -> None:
        name = self.resolve_topic_name(topic.name)
        kind = message_class(topic.type)
        last = 0

        def keep(data: bytes, info: Mapping[str, int]) -> None:
            self._bag.write(name, stamp_of(info), data)
            self.written += 1

        def keep_image(data: bytes, info: Mapping[str, int]) -> None:
            nonlocal last
            stamp = stamp_of(info)
            # A quarter of a period of slack: frames of 20 Hz are thinned to 10 Hz, not to 6.7.
            if stamp - last < 0.75e9 / topic.image:
                return
            last = stamp
            image = deserialize_message(data, Image)
            self._bag.write(f"{name}/compressed", stamp, serialize_message(compress(image, CompressedImage())))
            self.written += 1

        if topic.image:
            self._bag.add([(f"{name}/compressed", COMPRESSED)])
        else:
            self._bag.add([(name, topic.type)])
        # rclpy's annotations know no raw callback with message info, its executors do.
        callback: Any = keep_image if topic.image else keep
        self.create_subscription(kind, name, callback, profile(topic.offer), raw=True)

    def close(self) -> None:
        """Finish the bag."""
        self._bag.close()


def message_class(name: str) -> type[Any]:
    """``pkg/msg/Name`` to the generated class."""
    package, _, kind = name.split("/")
    found: type[Any] = getattr(importlib.import_module(f"{package}.msg"), kind)
    return found


def profile(offer: Offer) -> QoSProfile:
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
    executor = SingleThreadedExecutor()
    executor.add_node(recorder)
    try:
        while not stop:
            executor.spin_once(timeout_sec=0.2)
        _drain(recorder, executor)
    finally:
        recorder.close()
        executor.shutdown()
        recorder.destroy_node()
        rclpy.try_shutdown()
    return 0


def _drain(recorder: Recorder, executor: SingleThreadedExecutor) -> None:
    """Write what arrived before we were asked to stop."""
    before = -1
    while recorder.written != before:
        before = recorder.written
        for _ in TOPICS:
            executor.spin_once(timeout_sec=0.0)


if __name__ == "__main__":
    sys.exit(main())
