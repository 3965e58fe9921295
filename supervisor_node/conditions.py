"""Events that are true of the moment, rather than having arrived: guards, rest, escalation, lease, time limits."""

from __future__ import annotations

from collections.abc import Iterator

from supervisor_node.guards import OF_THE_ROBOT
from supervisor_node.memory import Memory
from supervisor_node.states import MOVING, Mode, State
from supervisor_node.table import Event, Occurrence

_LATE_TICKS = 3
_ROUNDING = 1e-6
"""Times are sums of floats: half a second may come out a little shorter."""


def conditions(m: Memory) -> Iterator[Occurrence]:
    """The events that hold now and may matter in the current state."""
    yield from _guards(m)
    if m.state in _BY_STATE:
        yield from _BY_STATE[m.state](m)
    late = m.now - m.last_tick - (1 + _LATE_TICKS) * m.arm.profile.period
    if m.state in MOVING and not m.config.lockstep and late > 0:
        yield Occurrence(Event.INTERNAL, f"the control tick is {m.now - m.last_tick:.2f} s late")


def _guards(m: Memory) -> Iterator[Occurrence]:
    for failure in m.failing:
        if failure.event is Event.MONITOR_STALE and m.mode is Mode.SHADOW:
            continue
        if m.state is State.HALTING and m.queued is State.HALTED and failure.event is not Event.HARDWARE:
            continue
        yield Occurrence(failure.event, str(failure))


def _unknown(m: Memory) -> Iterator[Occurrence]:
    if m.clear_since is not None and m.now - m.clear_since >= m.config.arming_time - _ROUNDING:
        yield Occurrence(Event.ARMED)


def _resuming(m: Memory) -> Iterator[Occurrence]:
    if m.now - m.entered_at > m.config.resume_timeout:
        missing = "a passing chunk" if m.gate.acknowledged else "the policy's answer to reset_policy"
        yield Occurrence(Event.RESUME_TIMEOUT, f"{missing} did not come within {m.config.resume_timeout:g} s")


def joining(m: Memory) -> Iterator[Occurrence]:
    """Release the first chunk of a session, if there is one, and say whether the arm may begin with it."""
    measured = m.senses.measured
    if m.state is not State.RESUMING or measured is None or m.gate.release(m.now) is None:
        return
    unreachable = m.gate.solve(measured, None)
    if unreachable is not None:
        yield unreachable
        return
    upcoming = m.gate.upcoming(m.now)
    if upcoming is None:
        return
    chunk, index = upcoming
    problem = m.arm.joins(chunk, index, measured)
    if problem:
        yield Occurrence(Event.JOIN_TOO_LARGE, f"first action: {problem}", chunk.key)
    else:
        yield Occurrence(Event.JOINED, key=chunk.key)


def _halting(m: Memory) -> Iterator[Occurrence]:
    elapsed, escalation = m.now - m.entered_at, m.arm.profile.escalation
    yield from _lost(m)
    if _resting(m):
        if m.queued is State.IDLE:
            yield Occurrence(Event.REST_TO_IDLE, m.text)
            return
        refused = teleop_refused(m) if m.queued is State.TELEOP else ""
        if m.queued is State.TELEOP and not refused:
            yield Occurrence(Event.REST_TO_TELEOP, "an operator takes over")
        else:
            yield Occurrence(Event.AT_REST, refused)
        return
    last = escalation.fault if m.arm.profile.hold_controller else escalation.switch
    if elapsed > last:
        # An arm that creeps under its hold, pushed or in contact, is held no longer than one that runs away.
        moves = m.senses.unrest(m.now, m.entered_at, m.hold)
        yield Occurrence(Event.UNVERIFIED, f"press the user stop: not at rest after {last:g} s: {moves}")
    elif elapsed > escalation.switch and m.escalated < 2:
        yield Occurrence(Event.SWITCH)
    elif elapsed > escalation.repeat and m.escalated < 1:
        yield Occurrence(Event.REPEAT)


def _resting(m: Memory) -> bool:
    """Rest on the hold, measured after the hold was sent."""
    return m.hold is not None and not m.senses.unrest(m.now, m.entered_at, m.hold)


def _halted(m: Memory) -> Iterator[Occurrence]:
    yield from _lost(m)
    off = m.senses.off(m.hold) if m.hold is not None else ""
    if off:
        yield Occurrence(Event.DRIFTED, f"the held arm left its hold: {off}")


def _lost(m: Memory) -> Iterator[Occurrence]:
    silent = m.now - m.senses.joints_at
    if silent > m.arm.profile.escalation.lost:
        yield Occurrence(Event.LOST, f"no joint states for {silent:.2f} s")


def _teleop(m: Memory) -> Iterator[Occurrence]:
    silent = m.lease.lost(m.now)
    if silent:
        yield Occurrence(Event.LEASE_LOST, silent)
    if m.lease.let_go:
        yield Occurrence(Event.RELEASED, "the deadman was let go")


def robot_refused(m: Memory) -> str:
    """The first guard of the robot that does not hold, or ""."""
    return next((str(failure) for failure in m.failing if failure.name in OF_THE_ROBOT), "")


def teleop_refused(m: Memory) -> str:
    """Why the teleop device may not take over now, or ""."""
    measured, pose = m.senses.measured, m.lease.pose
    refused = robot_refused(m) or m.lease.refuses(m.now)
    if refused or measured is None or pose is None:
        return refused or "the arm is not seen"
    problem = m.arm.joins_pose(pose, measured)
    return f"the device's pose is too far from the arm: {problem}" if problem else ""


_BY_STATE = {
    State.UNKNOWN: _unknown,
    State.RESUMING: _resuming,
    State.HALTING: _halting,
    State.HALTED: _halted,
    State.TELEOP: _teleop,
}
