"""The one command of a step: the next action of the released chunk, a step towards the teleop pose, or the hold."""

from __future__ import annotations

from supervisor_node.memory import Memory
from supervisor_node.states import HOLDING, Source, State
from supervisor_node.values import NO_KEY, Command, Measured, Motion, Pose
from vla_uq.contracts import Key


def command(m: Memory, tick: bool) -> Command | None:
    """The command that is due, or None.

    In real time one is due at every tick, and at once where a hold is captured or a chunk released. In lockstep each
    observation is answered once: by an action that was scored, a pose that the device sent for it, or the hold.
    """
    measured = m.senses.measured
    if measured is None or not (m.senses.unanswered if m.config.lockstep else tick or m.step.at_once):
        return None
    if m.state is State.AUTONOMOUS:
        made = _of_policy(m, measured)
    elif m.state is State.TELEOP:
        made = _of_teleop(m, measured)
    elif m.state in HOLDING and m.hold is not None:
        gripper = m.gripper.hold(measured.opening)
        made = _made(m, Source.NONE, Motion(joints=m.hold), gripper, measured, measured.pose)
    else:
        return None
    if made is not None and m.config.lockstep:
        m.senses.answered()
    return made


def _of_policy(m: Memory, measured: Measured) -> Command | None:
    upcoming = m.gate.upcoming(m.now)
    if upcoming is None:
        return None
    chunk, index = upcoming
    reference = m.arm.reference(measured, m.last)
    motion = m.arm.plan(chunk, index, measured, m.last, m.gate.path)
    wanted = float(chunk.gripper[index]) if len(chunk.gripper) else None
    m.hold, m.last = None, motion
    m.gate.sent()
    gripper = m.gripper.command(wanted, measured.opening)
    return _made(m, Source.POLICY, motion, gripper, measured, reference, chunk.key, m.gate.digest, index)


def _of_teleop(m: Memory, measured: Measured) -> Command | None:
    requested = m.lease.pose
    if requested is None or (m.config.lockstep and not m.lease.answers(m.senses.stamp)):
        return None
    reference = m.arm.reference(measured, m.last)
    m.hold, m.last = None, m.arm.follow(requested, measured, m.last)
    gripper = m.gripper.command(m.lease.gripper, measured.opening)
    return _made(m, Source.TELEOP, m.last, gripper, measured, reference, requested=requested)


def _made(
    m: Memory,
    source: Source,
    motion: Motion,
    gripper: float | None,
    measured: Measured,
    reference: Pose,
    key: Key = NO_KEY,
    digest: int = 0,
    index: int = 0,
    requested: Pose | None = None,
) -> Command:
    stamp = measured.stamp
    return Command(source, m.state, motion, gripper, stamp, measured.pose, reference, key, digest, index, requested)
