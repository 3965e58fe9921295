"""What was done in the episodes of a bag, at equal steps: what a policy learns from.

A frame is what was seen at a moment and where the arm had been sent when the next one came. While nobody moves the arm
it holds, between an alarm and the takeover as well; such moments teach nothing and are left out, so that what the
policy did and what a human then did follow upon each other.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from policy_node.backends.openpi_presets import Preset, forward_turn
from policy_node.backends.openpi_settings import Settings
from supervisor_node.audit import read as content_of
from supervisor_node.audit.contents import SeenJoints
from supervisor_node.states import Label, Moment, Source
from supervisor_node.values import Command, Happening
from vla_cli.bag.episodes import EVENTS, Span
from vla_cli.bag.reader import ends_with, scan
from vla_policy.observation import Observation
from vla_uq.errors import InputError
from vla_uq.images import decode, decode_compressed
from vla_uq.wire import Array

COMMAND, JOINTS = "supervisor_node/command", "joint_states"
SIGHT = 0.5
"""Oldest picture (s) that a frame may hold."""
POSE = ("x", "y", "z", "rx", "ry", "rz")
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Frame:
    """One moment.

    :param images: camera to (height, width, 3) uint8 RGB, as the preset sends them.
    :param state: as the preset sends it.
    :param action: where the arm was sent by the next moment: pose (m, rotation vector in rad) or joints (rad), then
        the gripper's opening, 0 closed to 1 open.
    :param intervention: a human sent it there.
    """

    images: Mapping[str, NDArray[np.uint8]]
    state: Array
    action: Array
    intervention: bool


@dataclass
class _Stream(Generic[T]):
    """What came when."""

    times: list[int] = field(default_factory=list)
    values: list[T] = field(default_factory=list)

    def add(self, time: int, value: T) -> None:
        self.times.append(time)
        self.values.append(value)

    def last(self, until: int, since: int) -> T | None:
        """The newest value after ``since`` and not after ``until``."""
        number = bisect_right(self.times, until) - 1
        return self.values[number] if number >= 0 and self.times[number] > since else None


class Demonstration:
    """One episode that is recorded as a whole.

    :param span: of the bag.
    :param preset: what the robot's observation is called.
    :param fingers: joints that add up to the distance between the fingers; a minus takes one off.
    :param rate: frames a second.
    :raises InputError: when it is not recorded as a whole, or the bag cannot be read.
    """

    def __init__(self, span: Span, preset: Preset, fingers: Sequence[str], rate: int) -> None:
        if span.start is None or span.stop is None:
            raise InputError("episode is not recorded as a whole", where=f"{span.bag}: {span.episode}")
        self.span, self.label = span, span.label
        self._start, self._stop, self._step = span.start, span.stop, round(1e9 / rate)
        self._preset, self._fingers = preset, fingers
        self.task, self._commands, self._moves = "", _Stream[Command](), _Stream[Command]()
        self._joints, self._openings = _Stream[dict[str, float]](), _Stream[float]()
        self._pictures = {camera: _Stream[Any]() for camera in preset.images.values()}
        topics = {f"{camera}/image_raw{end}": camera for camera in self._pictures for end in ("", "/compressed")}
        recorded = scan(span.bag, (EVENTS, COMMAND, JOINTS, *topics), span.start, span.stop)
        for one in sorted(recorded, key=lambda one: one.time_ns):
            camera = next((camera for topic, camera in topics.items() if ends_with(one.topic, [topic])), None)
            if camera:
                self._pictures[camera].add(one.time_ns, one.message)
            else:
                self._take(one.time_ns, content_of(one.topic, one.message))

    def _take(self, time: int, content: object) -> None:
        if isinstance(content, Happening) and content.moment is Moment.STARTED:
            self.task = content.text
        elif isinstance(content, SeenJoints):
            known = self._joints.values[-1] if self._joints.values else {}
            self._joints.add(time, known | dict(zip(content.names, content.q.tolist(), strict=False)))
        elif isinstance(content, Command):
            self._commands.add(time, content)
            if content.source is not Source.NONE:
                self._moves.add(time, content)
            if content.gripper is not None:
                self._openings.add(time, content.gripper)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the action's columns; empty when the arm never moved.

        :raises InputError: when it was sent to poses and to joints.
        """
        counts = {0 if c.motion.joints is None else len(c.motion.joints) for c in self._moves.values}
        if len(counts) > 1:
            raise InputError("the arm was sent to poses and to joints", where=self.span.episode)
        columns = POSE if counts == {0} else tuple(f"joint_{number + 1}" for count in counts for number in range(count))
        return (*columns, "gripper") if counts else ()

    def frames(self) -> Iterator[Frame]:
        """The frames in order of time.

        :raises InputError: when pictures or joints are not what the preset takes.
        """
        for time in range(self._start, self._stop, self._step):
            then = time + self._step
            last, seen = self._commands.last(then, time), self._seen(time)
            # A hold that came last in the step has ended the motion.
            if seen is not None and last is not None and last.source is not Source.NONE:
                opening = self._openings.last(then, 0)
                request = self._preset.request(seen, Settings("", ""))
                yield Frame(
                    images={camera: request[key] for key, camera in self._preset.images.items()},
                    state=np.concatenate([request[key] for key in self._preset.state]).astype(np.float32),
                    action=_action(last, 1.0 if opening is None else opening),
                    intervention=last.source is Source.TELEOP,
                )

    def _seen(self, time: int) -> Observation | None:
        """What the arm and its cameras showed at a moment, if all of it is recorded."""
        command, joints = self._commands.last(time, 0), self._joints.last(time, 0)
        pictures = {camera: stream.last(time, time - round(SIGHT * 1e9)) for camera, stream in self._pictures.items()}
        if command is None or command.measured is None or joints is None or None in pictures.values():
            return None
        missing = [name for name in self._fingers if name.removeprefix("-") not in joints]
        if missing:
            found, remedy = ", ".join(joints), "name them with --fingers"
            raise InputError(
                "joints are missing", where=JOINTS, expected=", ".join(missing), found=found, remedy=remedy
            )
        width = sum(-joints[name[1:]] if name.startswith("-") else joints[name] for name in self._fingers)
        images = {camera: _picture(message, camera) for camera, message in pictures.items()}
        pose = command.measured
        return Observation(images, pose.position, pose.rotation, width, self.task, joints=joints)


def _picture(message: Any, camera: str) -> NDArray[np.uint8]:
    return decode_compressed(message, camera) if hasattr(message, "format") else decode(message, camera)


def _action(command: Command, opening: float) -> Array:
    pose, columns = command.motion.pose, command.motion.joints
    if columns is None:
        assert pose is not None
        turned = Observation({}, pose.position, pose.rotation, 0.0, "")
        columns = np.concatenate([pose.position, forward_turn(turned, Settings("", ""))])
    return np.append(columns, opening).astype(np.float32)


def usable(label: Label) -> bool:
    """Whether an episode may be learnt from: an operator can say that it may not."""
    return label is not Label.DISCARD


def bags_below(root: Path) -> list[Path]:
    """:raises InputError: when there are none."""
    found = sorted({path.parent for path in root.resolve().rglob("metadata.yaml")})
    if not found:
        raise InputError("no bags here", where=str(root), expected="folders with metadata.yaml")
    return found
