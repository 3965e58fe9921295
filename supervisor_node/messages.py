"""Between messages and plain values; the only file of this package that knows the messages' fields, save the audit."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Pose as PoseMessage
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState as JointStateMessage
from std_msgs.msg import Float64MultiArray, Header
from visualization_msgs.msg import Marker, MarkerArray
from vla_monitor.msg import CommandRecord, EpisodeEvent, SupervisorState

from supervisor_node.audit.contents import pose_of, stamp_of
from supervisor_node.guards import Failure
from supervisor_node.states import State
from supervisor_node.table import Event
from supervisor_node.values import Command, Happening, JointState, Pose, Snapshot, Stamp
from vla_uq.geometry import quaternion

_COLOURS = {
    State.AUTONOMOUS: (0.1, 0.8, 0.2),
    State.TELEOP: (0.1, 0.5, 1.0),
    State.HALTING: (1.0, 0.6, 0.0),
    State.HALTED: (1.0, 0.6, 0.0),
    State.FAULT: (1.0, 0.0, 0.0),
}
_GREY = (0.6, 0.6, 0.6)
_ABOVE_BASE = 1.0
_SHOWN_FOR = 0.5
_GRAVE = frozenset({Event.FOREIGN_PUBLISHER, Event.HARDWARE, Event.ESTOP})


# -- in ------------------------------------------------------------------------------------------------------------
def joint_state(message: JointStateMessage) -> JointState:
    """A ``sensor_msgs/JointState``."""
    return JointState(tuple(message.name), np.asarray(message.position, np.float64), stamp_of(message.header))


def pose(message: PoseStamped) -> Pose:
    """A ``geometry_msgs/PoseStamped``; not finite where its quaternion is none."""
    return pose_of(message.pose, stamp_of(message.header))


def opening(message: Float64MultiArray) -> float:
    """Opening that a teleop device asks for.

    :raises ValueError: an empty message.
    """
    if not len(message.data):
        raise ValueError("no opening in the message")
    return float(message.data[0])


def seconds(message: JointStateMessage | PoseStamped) -> float:
    """The stamp of a message as simulated time, for lockstep only."""
    return message.header.stamp.sec + message.header.stamp.nanosec * 1e-9


# -- out -----------------------------------------------------------------------------------------------------------
def header(stamp: Stamp | Time, frame: str = "") -> Header:
    """A header."""
    time = stamp if isinstance(stamp, Time) else Time(sec=stamp[0], nanosec=stamp[1])
    return Header(stamp=time, frame_id=frame)


def pose_message(value: Pose | None) -> PoseMessage:
    """A ``geometry_msgs/Pose``; its defaults for None."""
    message = PoseMessage()
    if value is not None:
        p, q = message.position, message.orientation
        p.x, p.y, p.z = map(float, value.position)
        q.x, q.y, q.z, q.w = map(float, quaternion(value.rotation))
    return message


def target_pose(command: Command, frame: str) -> PoseStamped:
    """What goes out on ``target_pose``."""
    return PoseStamped(header=header(command.stamp, frame), pose=pose_message(command.motion.pose))


def target_joint(command: Command, names: Iterable[str]) -> JointStateMessage:
    """What goes out on ``target_joint``."""
    assert command.motion.joints is not None
    return JointStateMessage(header=header(command.stamp), name=list(names), position=command.motion.joints.tolist())


def gripper(opening: float) -> Float64MultiArray:
    """What goes out on the gripper's command topic."""
    return Float64MultiArray(data=[float(opening)])


def record(command: Command, frame: str) -> CommandRecord:
    """The record of a command."""
    joints = command.motion.joints
    message = CommandRecord(
        header=header(command.stamp, frame),
        digest=command.digest,
        index=command.index,
        source=int(command.source),
        state=int(command.state),
        measured=PoseStamped(header=header(command.measured.stamp, frame), pose=pose_message(command.measured)),
        reference=pose_message(command.reference),
        requested=pose_message(command.requested),
        target=pose_message(command.motion.pose),
        joints=[] if joints is None else joints.tolist(),
        gripper=math.nan if command.gripper is None else float(command.gripper),
        limited=command.motion.limited,
    )
    command.key.fill(message.key)
    return message


def state(snapshot: Snapshot, run_id: bytes, sequence: int, stamp: Time, frame: str) -> SupervisorState:
    """A ``SupervisorState``."""
    message = SupervisorState(
        header=header(stamp, frame),
        sequence=sequence,
        run_id=np.frombuffer(run_id, np.uint8),
        state=int(snapshot.state),
        previous=int(snapshot.previous),
        reason=int(snapshot.reason),
        text=snapshot.text,
        mode=int(snapshot.mode),
        source=int(snapshot.source),
        takeover_requested=snapshot.takeover_requested,
        intervention=snapshot.intervention,
        risk_level=int(snapshot.risk),
        episode_id=snapshot.episode_id,
        halt_verified=snapshot.halt_verified,
        alarm_to_rest=snapshot.alarm_to_rest,
        failing_guards=list(snapshot.failing_guards),
        discarded_chunks=snapshot.discarded_chunks,
    )
    snapshot.released.fill(message.released)
    return message


def event(happening: Happening, stamp: Time) -> EpisodeEvent:
    """An ``EpisodeEvent``."""
    message = EpisodeEvent(
        header=header(stamp),
        episode_id=happening.episode_id,
        event=int(happening.moment),
        label=int(happening.label),
        text=happening.text,
    )
    happening.key.fill(message.key)
    return message


def markers(snapshot: Snapshot, stamp: Time, frame: str) -> MarkerArray:
    """State and reason as a text over the base."""
    marker = Marker(header=header(stamp, frame), ns="supervisor", type=Marker.TEXT_VIEW_FACING, action=Marker.ADD)
    marker.pose.position.z, marker.pose.orientation.w, marker.scale.z = _ABOVE_BASE, 1.0, 0.06
    marker.color.r, marker.color.g, marker.color.b = _COLOURS.get(snapshot.state, _GREY)
    marker.color.a = 1.0
    marker.text = f"{snapshot.mode.name} {snapshot.state.name}" + (f"\n{snapshot.text}" if snapshot.text else "")
    marker.lifetime.sec, marker.lifetime.nanosec = 0, int(_SHOWN_FOR * 1e9)
    return MarkerArray(markers=[marker])


def diagnostics(name: str, snapshot: Snapshot, failures: Iterable[Failure], stamp: Time) -> DiagnosticArray:
    """Health for people: FAULT, a call for a person and foreign commands are errors, a halt or a guard is a warning."""
    failing = list(failures)
    calling = snapshot.state is State.FAULT or snapshot.takeover_requested
    grave = calling or any(f.event in _GRAVE or f.name == "rest" for f in failing)
    doubtful = failing or snapshot.state in (State.HALTING, State.HALTED)
    level = DiagnosticStatus.ERROR if grave else DiagnosticStatus.WARN if doubtful else DiagnosticStatus.OK
    values = {failure.name: failure.text for failure in failing}
    values |= {"reason": snapshot.reason.name, "discarded chunks": str(snapshot.discarded_chunks)}
    status = DiagnosticStatus(
        level=level,
        name=name,
        message=f"{snapshot.state.name}: {snapshot.text}" if snapshot.text else snapshot.state.name,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
    return DiagnosticArray(header=header(stamp), status=[status])
