"""From messages to one observation: the newest moment of which every stream has a part. Pure; the caller owns time."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_policy.observation import Observation
from vla_uq.errors import InputError
from vla_uq.geometry import matrix_of_unit
from vla_uq.wire import Array

Stamp = tuple[int, int]
Image = NDArray[np.uint8]
JOINT_STATES = "joint_states"

DEPTH = 256
"""Samples kept of a stream: a quarter of a second of joint states at 1 kHz, more than an image is late."""


@dataclass(frozen=True, eq=False)
class Assembled:
    """An observation, and the steady time (s) at which its oldest part was received."""

    observation: Observation
    oldest: float


@dataclass(frozen=True, eq=False)
class _Sample:
    stamp: Stamp
    received: float
    value: Any


class ObservationAssembler:
    """Collects joint states, the measured pose and camera images, and puts together those of one moment.

    The moment is a stamp of the first camera, the slowest stream. Stamps are only compared with each other, never
    with a clock; how old something is, is counted from its receipt.

    :param cameras: names of the streams of images.
    :param fingers: joints whose positions (m) add up to the distance between the fingers; a minus before a name
        takes its position off.
    :param tolerance: largest distance (s) of stamps within one observation; 0 asks for equal stamps (lockstep).
    :param max_age: oldest part (s since receipt) that may still be acted on.
    :param sources: names of the streams of joint states, the arm's first: its stamp is the observation's.
    :param prepare: of cameras, what is done with an image that becomes part of an observation.
    """

    def __init__(
        self,
        cameras: Sequence[str],
        fingers: Sequence[str],
        tolerance: float,
        max_age: float,
        sources: Sequence[str] = (JOINT_STATES,),
        prepare: Mapping[str, Callable[[Image], Image]] | None = None,
    ) -> None:
        self._fingers = {name.removeprefix("-"): -1.0 if name.startswith("-") else 1.0 for name in fingers}
        self._tolerance, self._max_age = tolerance, max_age
        self._cameras, self._sources, self._prepare = tuple(cameras), tuple(sources), dict(prepare or {})
        self._streams = {name: deque[_Sample](maxlen=4) for name in cameras}
        self._streams |= {name: deque[_Sample](maxlen=DEPTH) for name in (*sources, "current_pose")}
        self._named: dict[str, frozenset[str]] = {}
        self.problem = ""
        """Why the last :meth:`assemble` gave nothing; empty when it gave something."""

    def clear(self) -> None:
        """Forget everything: nothing received before now will be acted on."""
        for stream in self._streams.values():
            stream.clear()

    def joint_state(
        self, stamp: Stamp, names: Sequence[str], positions: Sequence[float], now: float, source: str = JOINT_STATES
    ) -> None:
        """Take a joint state.

        :raises InputError: when a finger is in no stream of joint states, or a position is not finite.
        """
        joints = dict(zip(names, positions, strict=False))
        self._named[source] = frozenset(joints)
        known = frozenset().union(*self._named.values())
        missing = [name for name in self._fingers if name not in known]
        if missing and len(self._named) == len(self._sources):
            raise InputError(
                "joint is missing",
                where=" and ".join(self._sources),
                expected=", ".join(missing),
                found=", ".join(names),
                remedy="set the fingers parameter",
            )
        _finite(np.asarray(positions, np.float64), source)
        self._streams[source].append(_Sample(stamp, now, joints))

    def pose(self, stamp: Stamp, position: Sequence[float], quaternion: Sequence[float], now: float) -> None:
        """Take a measured pose: position (m) and quaternion (x, y, z, w) in the base frame.

        :raises InputError: when it is not finite, or the quaternion is far from unit length.
        """
        p, q = np.asarray(position, np.float64), np.asarray(quaternion, np.float64)
        _finite(np.concatenate([p, q]), "current_pose")
        norm = float(np.linalg.norm(q))
        if abs(norm - 1) > 0.01:
            raise InputError("not a rotation", where="current_pose.orientation", expected="norm 1", found=norm)
        self._streams["current_pose"].append(_Sample(stamp, now, (p, matrix_of_unit(q / norm))))

    def image(self, camera: str, stamp: Stamp, image: Image, now: float) -> None:
        """Take a camera image (height, width, 3) RGB."""
        self._streams[camera].append(_Sample(stamp, now, image))

    def assemble(self, instruction: str, now: float) -> Assembled | None:
        """The newest observation that is complete and young enough, or None, with the reason in ``problem``."""
        streams = self._streams
        empty = [name for name, stream in streams.items() if not stream]
        if empty:
            self.problem = f"nothing received on {', '.join(empty)}"
            return None
        for anchor in reversed(streams[self._cameras[0]]):
            parts = {name: _nearest(stream, anchor.stamp) for name, stream in streams.items()}
            if all(_apart(part.stamp, anchor.stamp) <= self._tolerance for part in parts.values()):
                return self._put_together(parts, instruction, now)
        newest = {name: stream[-1].stamp for name, stream in streams.items()}
        self.problem = f"no stamps within {self._tolerance:g} s of each other: {newest}"
        return None

    def _put_together(self, parts: Mapping[str, _Sample], instruction: str, now: float) -> Assembled | None:
        late = min(parts, key=lambda name: parts[name].received)
        oldest = parts[late].received
        if now - oldest > self._max_age:
            self.problem = f"{late} is {now - oldest:.2f} s old, at most {self._max_age:g} s"
            return None
        joints = {name: at for source in self._sources for name, at in parts[source].value.items()}
        if not joints.keys() >= self._fingers.keys():
            self.problem = f"fingers are missing among the joints {', '.join(joints)}"
            return None
        self.problem = ""
        position, rotation = parts["current_pose"].value
        observation = Observation(
            images={name: self._prepared(name, parts[name].value) for name in self._cameras},
            position=position,
            rotation=rotation,
            width=float(sum(sign * joints[name] for name, sign in self._fingers.items())),
            instruction=instruction,
            stamp=parts[self._sources[0]].stamp,
            joints=joints,
        )
        return Assembled(observation, oldest)

    def _prepared(self, camera: str, image: Image) -> Image:
        return self._prepare[camera](image) if camera in self._prepare else image


def image_digest(images: Mapping[str, Image]) -> Array:
    """BLAKE2b of each image's bytes folded to 24 bits, which float32 holds exactly (cameras,); in the images' order.

    Equal digests in a row show a frozen camera: the latents would still change with proprioception.
    """
    digests = [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=3).digest() for image in images.values()]
    return np.asarray([int.from_bytes(digest, "big") for digest in digests], np.float32)


def _apart(a: Stamp, b: Stamp) -> float:
    """Distance of two stamps (s), exact where they are equal."""
    return abs((a[0] - b[0]) + (a[1] - b[1]) * 1e-9)


def _nearest(stream: deque[_Sample], stamp: Stamp) -> _Sample:
    return min(reversed(stream), key=lambda sample: _apart(sample.stamp, stamp))


def _finite(values: NDArray[np.float64], where: str) -> None:
    if not np.all(np.isfinite(values)):
        raise InputError("value is not finite", where=where, found=values.tolist())
