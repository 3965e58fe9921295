"""What a recording holds, as plain values: read by attribute, so from a live node and from any bag reader alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from supervisor_node.arms.parts import Sources
from supervisor_node.states import Label, Mode, Moment, Reason, Risk, Source, State
from supervisor_node.values import Command, Happening, Motion, Pose, Snapshot, Stamp
from vla_uq.contracts import Chunk, Key, Score
from vla_uq.geometry import matrix_of

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Announced:
    """A ``SupervisorState`` message."""

    snapshot: Snapshot
    run_id: bytes = bytes(16)


@dataclass(frozen=True, eq=False)
class SentPose:
    """What went out on ``target_pose``."""

    pose: Pose


@dataclass(frozen=True, eq=False)
class SentJoints:
    """What went out on ``target_joint``."""

    names: tuple[str, ...]
    q: Vector
    stamp: Stamp


@dataclass(frozen=True, eq=False)
class SentTrajectory:
    """What went out to a trajectory controller: its last point (rad), when it is reached (s), how fast (rad/s)."""

    names: tuple[str, ...]
    q: Vector
    end: float
    velocity: Vector


@dataclass(frozen=True, eq=False)
class SentGroup:
    """What went out on ``commands/joint_group``: joints (rad) in the driver's order, which is the profile's."""

    q: Vector


@dataclass(frozen=True, eq=False)
class SentSingle:
    """What went out on ``commands/joint_single``: PWM of a gripper, or a target (rad) of one of the arm's joints."""

    name: str
    value: float


@dataclass(frozen=True, eq=False)
class SentGripper:
    """What went out on the gripper's command topic."""

    opening: float


@dataclass(frozen=True, eq=False)
class Backed:
    """The deadman's record of the joint target (rad) that it sent in the supervisor's place."""

    q: Vector
    stamp: Stamp


@dataclass(frozen=True, eq=False)
class SeenJoints:
    """A message of joint states."""

    names: tuple[str, ...]
    q: Vector
    stamp: Stamp


@dataclass(frozen=True, eq=False)
class SeenPose:
    """A message on ``current_pose``."""

    pose: Pose


@dataclass(frozen=True, eq=False)
class AskedPose:
    """A message on ``supervisor_node/teleop/target_pose``."""

    pose: Pose


Content: TypeAlias = (
    Announced
    | Happening
    | Chunk
    | Score
    | Command
    | SentPose
    | SentJoints
    | SentTrajectory
    | SentGroup
    | SentSingle
    | SentGripper
    | Backed
    | SeenPose
    | SeenJoints
    | AskedPose
)


def read(topic: str, message: Any, roles: Mapping[str, str] = MappingProxyType({})) -> Content | None:
    """The content of a recorded message; None for topics that the audit does not need.

    :param topic: name with or without a namespace before it.
    :param roles: further names, each with the one whose part it plays (:func:`roles_of`).
    :raises InputError: a chunk that cannot be read.
    """
    for name, role in (*roles.items(), *((name, name) for name in _READERS)):
        if topic == name or topic.endswith("/" + name):
            return _READERS[role](message)
    return None


def roles_of(sources: Sources) -> dict[str, str]:
    """The topics on which an arm is seen, and what is read from them, whatever they are called."""
    roles = dict.fromkeys(sources.joint_states, "joint_states")
    return roles | ({sources.pose: "current_pose"} if sources.pose else {})


def pose_of(pose: Any, stamp: Stamp = (0, 0)) -> Pose:
    """A ``geometry_msgs/Pose``; not finite where the quaternion is none."""
    p, q = pose.position, pose.orientation
    return Pose(np.array([p.x, p.y, p.z], np.float64), matrix_of([q.x, q.y, q.z, q.w]), stamp)


def stamp_of(header: Any) -> Stamp:
    """The stamp of a header, to be compared for equality only."""
    return int(header.stamp.sec), int(header.stamp.nanosec)


def _pose_stamped(message: Any) -> Pose:
    return pose_of(message.pose, stamp_of(message.header))


def _announced(message: Any) -> Announced:
    snapshot = Snapshot(
        state=State(message.state),
        previous=State(message.previous),
        reason=Reason(message.reason),
        text=str(message.text),
        mode=Mode(message.mode),
        source=Source(message.source),
        takeover_requested=bool(message.takeover_requested),
        intervention=bool(message.intervention),
        risk=Risk(message.risk_level),
        episode_id=str(message.episode_id),
        released=Key.from_message(message.released),
        halt_verified=bool(message.halt_verified),
        alarm_to_rest=float(message.alarm_to_rest),
        failing_guards=tuple(message.failing_guards),
        discarded_chunks=int(message.discarded_chunks),
    )
    return Announced(snapshot, bytes(bytearray(message.run_id)))


def _happening(message: Any) -> Happening:
    return Happening(
        Moment(message.event),
        str(message.episode_id),
        Key.from_message(message.key),
        Label(message.label),
        str(message.text),
    )


def _record(message: Any) -> Command:
    joints = np.asarray(message.joints, np.float64)
    gripper = float(message.gripper)
    source = Source(message.source)
    limited = bool(message.limited)
    return Command(
        source=source,
        state=State(message.state),
        motion=Motion(joints=joints, limited=limited)
        if len(joints)
        else Motion(pose_of(message.target), None, limited),
        gripper=None if math.isnan(gripper) else gripper,
        stamp=stamp_of(message.header),
        measured=_pose_stamped(message.measured),
        reference=pose_of(message.reference),
        key=Key.from_message(message.key),
        digest=int(message.digest),
        index=int(message.index),
        requested=pose_of(message.requested) if source is Source.TELEOP else None,
    )


def _trajectory(message: Any) -> SentTrajectory:
    if not len(message.points):
        return SentTrajectory(tuple(message.joint_names), np.zeros(0), 0.0, np.zeros(0))
    last = message.points[-1]
    end = last.time_from_start.sec + last.time_from_start.nanosec * 1e-9
    q, velocity = np.asarray(last.positions, np.float64), np.asarray(last.velocities, np.float64)
    return SentTrajectory(tuple(message.joint_names), q, end, velocity)


def _joints(message: Any) -> tuple[tuple[str, ...], Vector, Stamp]:
    return tuple(message.name), np.asarray(message.position, np.float64), stamp_of(message.header)


_READERS: dict[str, Callable[[Any], Content]] = {
    "supervisor_node/state": _announced,
    "supervisor_node/events": _happening,
    "supervisor_node/command": _record,
    "deadman_node/command": lambda message: Backed(np.asarray(message.joints, np.float64), stamp_of(message.header)),
    "supervisor_node/teleop/target_pose": lambda message: AskedPose(_pose_stamped(message)),
    "policy_node/chunk": Chunk.from_message,
    "monitor_node/score": Score.from_message,
    "current_pose": lambda message: SeenPose(_pose_stamped(message)),
    "target_pose": lambda message: SentPose(_pose_stamped(message)),
    "target_joint": lambda message: SentJoints(*_joints(message)),
    "joint_trajectory": _trajectory,
    "commands/joint_group": lambda message: SentGroup(np.asarray(message.cmd, np.float64)),
    "commands/joint_single": lambda message: SentSingle(str(message.name), float(message.cmd)),
    "joint_states": lambda message: SeenJoints(*_joints(message)),
    "gripper/gripper_position_controller/commands": lambda message: SentGripper(
        float(message.data[0]) if len(message.data) else math.nan
    ),
}
"""Longer names first where one ends in another: the first that fits is taken."""
