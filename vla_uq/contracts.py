"""What travels between policy, monitor and supervisor, as plain values.

The same classes read and fill the ROS messages of ``msg/`` by attribute, so they serve a live node, a recorded bag
and a run without ROS alike, and nothing here imports ROS. Arrays are float32 and row-major; units are SI.
"""

from __future__ import annotations

import array
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from vla_uq.errors import InputError
from vla_uq.wire import Array, Message, assign, floats, packed, seconds, set_seconds

MAX_TENSOR = 4_000_000
"""Largest tensor accepted from a message (elements): checked before any copy."""


class Space(IntEnum):
    """What the columns of an action mean (``ActionChunk.space``)."""

    JOINT_POSITION = 0
    JOINT_VELOCITY = 1
    EE_POSE = 2
    EE_DELTA = 3


class Reference(IntEnum):
    """What an end-effector delta is added to (``ActionChunk.reference``)."""

    OBSERVATION = 0
    PREVIOUS = 1
    MEASURED = 2


@dataclass(frozen=True, order=True)
class Key:
    """Identity of one inference (``InferenceKey``): who made it, the how-manieth, in which episode and step."""

    run_id: bytes
    sequence: int
    episode_id: str
    step: int

    @classmethod
    def from_message(cls, message: Any) -> Key:
        """Read an ``InferenceKey``."""
        return cls(bytes(bytearray(message.run_id)), int(message.sequence), str(message.episode_id), int(message.step))

    def fill(self, message: Message) -> Message:
        """Write into an ``InferenceKey`` and return it."""
        return assign(
            message,
            run_id=np.frombuffer(self.run_id, np.uint8),
            sequence=self.sequence,
            episode_id=self.episode_id,
            step=self.step,
        )

    def __str__(self) -> str:
        return f"{self.run_id[:4].hex()}:{self.sequence} {self.episode_id or '-'}#{self.step}"


@dataclass(frozen=True, eq=False)
class Chunk:
    """What the policy would do (``ActionChunk``).

    :param actions: (horizon, dim) in the units of ``space``.
    :param gripper: (horizon,) opening, 0 closed to 1 open, or empty: the gripper is left alone.
    :param step_duration: seconds from one action to the next.
    :param execute_steps: the next inference is due after so many actions.
    :param observation_age: seconds on the producer's steady clock from the oldest observation to publication.
    :param observation_stamp: (sec, nanosec) of the joint state used, echoed; never compared with a clock.
    """

    key: Key
    space: Space
    names: tuple[str, ...]
    actions: Array
    gripper: Array
    step_duration: float
    execute_steps: int
    reference: Reference = Reference.MEASURED
    frame_id: str = ""
    instruction: str = ""
    observation_age: float = 0.0
    observation_stamp: tuple[int, int] = (0, 0)
    claimed_digest: int | None = None

    @property
    def horizon(self) -> int:
        return int(self.actions.shape[0])

    @property
    def digest(self) -> int:
        """First 8 bytes of BLAKE2b over actions and gripper, as an unsigned integer (big endian)."""
        state = hashlib.blake2b(np.ascontiguousarray(self.actions, np.float32).tobytes())
        state.update(np.ascontiguousarray(self.gripper, np.float32).tobytes())
        return int.from_bytes(state.digest()[:8], "big")

    @classmethod
    def from_message(cls, message: Any) -> Chunk:
        """Read an ``ActionChunk``.

        :raises InputError: when shape, size or enum values cannot be right. Values are checked by the gate.
        """
        horizon, dim = int(message.horizon), int(message.dim)
        if horizon * dim != len(message.actions) or horizon < 1 or dim < 1 or horizon * dim > MAX_TENSOR:
            raise InputError(
                "actions have the wrong size",
                where="ActionChunk.actions",
                expected=f"{horizon} x {dim}",
                found=len(message.actions),
            )
        if len(message.gripper) not in (0, horizon):
            raise InputError(
                "gripper has the wrong size",
                where="ActionChunk.gripper",
                expected=f"0 or {horizon}",
                found=len(message.gripper),
            )
        if message.space not in iter(Space) or message.reference not in iter(Reference):
            raise InputError(
                "unknown action space or reference",
                where="ActionChunk.space, reference",
                expected="0..3, 0..2",
                found=f"{message.space}, {message.reference}",
            )
        return cls(
            key=Key.from_message(message.key),
            space=Space(message.space),
            reference=Reference(message.reference),
            names=tuple(message.names),
            actions=floats(message.actions).reshape(horizon, dim),
            gripper=floats(message.gripper),
            step_duration=seconds(message.step_duration),
            execute_steps=int(message.execute_steps),
            frame_id=str(message.header.frame_id),
            instruction=str(message.instruction),
            observation_age=seconds(message.observation_age),
            observation_stamp=(int(message.observation_stamp.sec), int(message.observation_stamp.nanosec)),
            claimed_digest=int(message.digest),
        )

    def fill(self, message: Any) -> Any:
        """Write into an ``ActionChunk`` (all but ``header.stamp``) and return it."""
        self.key.fill(message.key)
        message.header.frame_id = self.frame_id
        set_seconds(message.step_duration, self.step_duration)
        set_seconds(message.observation_age, self.observation_age)
        message.observation_stamp.sec, message.observation_stamp.nanosec = self.observation_stamp
        return assign(
            message,
            digest=self.digest,
            instruction=self.instruction,
            space=int(self.space),
            reference=int(self.reference),
            names=list(self.names),
            horizon=self.horizon,
            dim=int(self.actions.shape[1]),
            actions=packed(self.actions),
            gripper=packed(self.gripper),
            execute_steps=self.execute_steps,
        )


@dataclass(frozen=True, eq=False)
class Trace:
    """What the policy was thinking (``PolicyTrace``): named tensors of one inference.

    Names: ``features`` (D), ``flow_times`` (K), ``velocities`` (actor, member, draw, node, H, A), ``samples``
    (member, draw, H, A), ``last_layer`` (node, H, D), ``token_*`` (tokens), ``scores/<name>`` (1), ``image_digest``.
    """

    key: Key
    chunk_digest: int
    fingerprint: str
    tensors: Mapping[str, Array]

    @classmethod
    def from_message(cls, message: Any) -> Trace:
        """Read a ``PolicyTrace``.

        :raises InputError: when a tensor's data does not fit its shape, or is larger than ``MAX_TENSOR``.
        """
        tensors: dict[str, Array] = {}
        for tensor in message.tensors:
            shape = tuple(int(n) for n in tensor.shape)
            if math.prod(shape) != len(tensor.data) or len(tensor.data) > MAX_TENSOR:
                raise InputError(
                    "tensor does not fit its shape",
                    where=f"PolicyTrace.tensors[{tensor.name}]",
                    expected=f"{shape}, at most {MAX_TENSOR} elements",
                    found=len(tensor.data),
                )
            tensors[str(tensor.name)] = floats(tensor.data).reshape(shape)
        return cls(Key.from_message(message.key), int(message.chunk_digest), str(message.fingerprint), tensors)

    def fill(self, message: Any, tensor_type: type) -> Any:
        """Write into a ``PolicyTrace`` (all but the header), with tensors made by ``tensor_type``; return it."""
        self.key.fill(message.key)
        tensors = [
            assign(tensor_type(), name=name, shape=array.array("I", data.shape), data=packed(data))
            for name, data in self.tensors.items()
        ]
        return assign(message, chunk_digest=self.chunk_digest, fingerprint=self.fingerprint, tensors=tensors)


FROZEN_CAMERA = "frozen_camera"
"""Name under which a score tells how many cameras are frozen; only where some are."""


@dataclass(frozen=True)
class Score:
    """How likely a chunk is to fail (``FailureScore``).

    :param detectors: name to (score, threshold) of each detector, for people; the alarm is decided on
        ``nonconformity`` against ``threshold`` alone.
    :param alarm: sticky until the episode ends.
    """

    key: Key
    chunk_digest: int
    nonconformity: float
    threshold: float
    alarm: bool
    detectors: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    valid_guarantee: bool = True
    why_not: str = ""
    alpha: float = math.nan
    latency: float = 0.0

    @property
    def frozen_camera(self) -> bool:
        """The alarm is about a camera whose pictures stand still, whatever the numbers say."""
        return FROZEN_CAMERA in self.detectors

    @property
    def passes(self) -> bool:
        """Both numbers finite, the score not above the threshold, no alarm earlier in the episode."""
        finite = math.isfinite(self.nonconformity) and math.isfinite(self.threshold)
        return finite and self.nonconformity <= self.threshold and not self.alarm

    @classmethod
    def from_message(cls, message: Any) -> Score:
        """Read a ``FailureScore``."""
        return cls(
            key=Key.from_message(message.key),
            chunk_digest=int(message.chunk_digest),
            nonconformity=float(message.nonconformity),
            threshold=float(message.threshold),
            alarm=bool(message.alarm),
            detectors={str(d.name): (float(d.score), float(d.threshold)) for d in message.detectors},
            valid_guarantee=bool(message.valid_guarantee),
            why_not=str(message.why_not),
            alpha=float(message.alpha),
            latency=seconds(message.latency),
        )

    def fill(self, message: Any, detector_type: type) -> Any:
        """Write into a ``FailureScore`` (all but the header), with entries made by ``detector_type``; return it."""
        self.key.fill(message.key)
        set_seconds(message.latency, self.latency)
        detectors = [
            assign(detector_type(), name=name, score=float(score), threshold=float(threshold))
            for name, (score, threshold) in self.detectors.items()
        ]
        return assign(
            message,
            chunk_digest=self.chunk_digest,
            detectors=detectors,
            nonconformity=float(self.nonconformity),
            threshold=float(self.threshold),
            alarm=bool(self.alarm),
            valid_guarantee=self.valid_guarantee,
            why_not=self.why_not,
            alpha=float(self.alpha),
        )
