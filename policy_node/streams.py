"""What a policy node subscribes to, and where each message goes. Messages are read by attribute, without ROS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from policy_node.assembly import ObservationAssembler
from policy_node.camera_health import CameraHealth
from policy_node.loop import InferenceLoop
from policy_node.observations import TRANSPORTS, Preset
from vla_uq.errors import InputError


@dataclass(frozen=True)
class Stream:
    """One subscription.

    :param kind: name of the message type.
    :param take: what each message is given to.
    """

    kind: str
    topic: str
    take: Callable[[Any], None]


class Streams:
    """Of a preset: from every topic into the loop's assembler, and what the cameras deliver counted on the way.

    :param clock: steady seconds.
    """

    def __init__(
        self, preset: Preset, assembler: ObservationAssembler, loop: InferenceLoop, clock: Callable[[], float]
    ) -> None:
        self._preset, self._assembler, self._loop = preset, assembler, loop
        self.cameras = {name: CameraHealth(camera.rate, clock) for name, camera in preset.cameras.items()}

    def all(self) -> list[Stream]:
        """What to subscribe to."""
        joints = [Stream("JointState", topic, partial(self._joints, topic)) for topic in self._preset.joint_states]
        images = []
        for name, camera in self._preset.cameras.items():
            transport = TRANSPORTS[camera.transport]
            images.append(Stream(transport.message, camera.topic + transport.suffix, partial(self._image, name)))
        return [*joints, Stream("PoseStamped", self._preset.pose, self._pose), *images]

    def _joints(self, source: str, message: Any) -> None:
        take = partial(self._assembler.joint_state, source=source)
        self._loop.take(take, _stamp(message), message.name, message.position)

    def _pose(self, message: Any) -> None:
        p, q = message.pose.position, message.pose.orientation
        self._loop.take(self._assembler.pose, _stamp(message), (p.x, p.y, p.z), (q.x, q.y, q.z, q.w))

    def _image(self, name: str, message: Any) -> None:
        self.cameras[name].took(_stamp(message))
        try:
            image = self._preset.cameras[name].read(message, name)
        except InputError as error:
            self._loop.complain(str(error))
        else:
            self._loop.take(self._assembler.image, name, _stamp(message), image)


def _stamp(message: Any) -> tuple[int, int]:
    return int(message.header.stamp.sec), int(message.header.stamp.nanosec)
