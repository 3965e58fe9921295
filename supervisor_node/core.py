"""The supervisor: one pure class, stepped by whoever owns time.

``Supervisor.step(now, inputs)`` takes the time (seconds on a steady clock; simulated seconds in lockstep) and what is
new, and returns what to send, publish and answer. It knows no ROS, no thread and no clock of its own. Step it whenever
something arrives, and at the control rate with ``Inputs(tick=True)``.

Driving it without ROS, in lockstep (one observation, one command, on simulated time)::

    supervisor = Supervisor(Config(mode=Mode.GUARD, lockstep=True), open_arm("franka_crisp_sim"))
    seen = Inputs(joints=JointState(names, q, stamp), pose=Pose(p, R, stamp), policy=..., monitor=...)
    while supervisor.state is not State.IDLE:  # the guards must hold for half a second, the arm must rest
        now += 0.05
        supervisor.step(now, seen)
    out = supervisor.step(now, Inputs(requests=(Request(1, Wish.START, instruction="..."),)))
    # out.reset: reset the policy, then hand over its answer
    supervisor.step(now, Inputs(reset_ack=ResetAck(True, "", run_id, first_sequence)))
    while ...:
        out = supervisor.step(now, Inputs(joints=..., pose=...))  # the observation at `now`
        if out.waiting:  # no released action is left: infer, score, hand over both
            out = supervisor.step(now, Inputs(chunk=chunk, score=score))
        # out.command.motion.pose (or .joints: a hold), out.command.gripper; step the simulation; now += 0.05
    supervisor.step(now, Inputs(requests=(Request(2, Wish.END, label=Label.SUCCESS),)))

Names are those of the arm's profile: seven joints, then the finger joints whose sum is the gripper's width.
"""

from __future__ import annotations

import math

from supervisor_node.actions import act, alarm, tell
from supervisor_node.admission import admit, meaningless
from supervisor_node.arms.base import Arm
from supervisor_node.command import command
from supervisor_node.conditions import conditions, joining
from supervisor_node.config import Config
from supervisor_node.guards import Failure
from supervisor_node.memory import Memory, Step
from supervisor_node.senses import Clock
from supervisor_node.states import Mode, Moment, Reason, Risk, Source, State
from supervisor_node.table import ALARMS, KEEP_REASON, REASONS, Event, Occurrence, Row, row_for
from supervisor_node.values import Command, Inputs, Outputs, Snapshot, Wish
from vla_uq.contracts import Score

_MOST_TRANSITIONS = 16
_NEAR_THRESHOLD = 0.2


class Supervisor:
    """Decides what reaches the arm.

    :param run_id: identity of this process, random; the ids of its episodes begin with it.
    """

    def __init__(self, config: Config, arm: Arm, run_id: bytes = bytes(16)) -> None:
        self._m = Memory.new(config, arm, run_id[:4].hex())
        self._clock = Clock()
        self._shown: Snapshot | None = None

    @property
    def state(self) -> State:
        return self._m.state

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Guards that did not hold at the last step, with the reasons."""
        return self._m.failing

    def set_mode(self, mode: Mode) -> str:
        """Change between guard and shadow; only while nothing runs.

        :return: why not, or "".
        """
        if mode is self._m.mode:
            return ""
        if self.state not in (State.UNKNOWN, State.IDLE):
            return f"mode can be changed in UNKNOWN and IDLE only, not in {self.state.name}"
        if mode is Mode.GUARD and not self._m.config.require_monitor:
            return "guard mode needs the monitor: require_monitor is false"
        self._m.gate.mode = mode
        return ""

    def step(self, now: float, inputs: Inputs) -> Outputs:
        """Take what is new at ``now`` and decide.

        :param now: seconds; a step back is bridged and halts what moves.
        """
        m = self._m
        m.now, jumped = self._clock.read(now)
        m.step = Step()
        if jumped:
            m.senses.jumped()
        seen = m.senses.stamp
        m.senses.take(m.now, inputs)
        if m.senses.stamp != seen:
            m.lease.outdate()
        m.lease.take(m.now, inputs)
        self._recovery(inputs.recovered)
        m.look()
        arrived = self._arrived(inputs, jumped)
        self._settle(arrived)
        for leftover in arrived:
            if leftover.request is not None:
                m.desk.refuse(leftover.request, meaningless(m, leftover.request))
        self._stream(inputs.tick)
        if inputs.tick:
            m.last_tick = m.now
        return self._outputs(command(m, inputs.tick), inputs.tick)

    def _recovery(self, problem: str | None) -> None:
        """Answer whoever asked for a recovery, when it is over, well or not, or out of time."""
        m = self._m
        if m.recover_until is None:
            return
        if problem is None and m.now >= m.recover_until:
            problem = f"the robot's recovery was not answered within {m.config.recovery_timeout:g} s"
        if problem is None:
            return
        m.recover_until = None
        m.desk.decide(Wish.RECOVER, not problem, problem or "recovered; a fault stays until reset", m.episode_id)

    # -- what arrived ----------------------------------------------------------------------------------------------
    def _arrived(self, inputs: Inputs, jumped: bool) -> list[Occurrence]:
        """The events among the inputs."""
        m = self._m
        found: list[Occurrence] = []
        if inputs.chunk is not None:
            found += m.gate.chunk(m.now, m.senses.observed(m.now, inputs.chunk), inputs.chunk)
        if inputs.score is not None:
            m.risk = _risk(inputs.score) if m.episode is not None else Risk.OK
            found += m.gate.score(inputs.score)
        texts = (
            (Event.BAD_CHUNK, inputs.bad_chunk),
            (Event.BAD_SCORE, inputs.bad_score),
            (Event.INTERNAL, inputs.error),
            (Event.CLOCK_JUMP, inputs.clock_jump or ("the clock jumped back" if jumped else "")),
            (Event.SHUTDOWN, "the process was asked to end" if inputs.shutdown else ""),
        )
        found += [Occurrence(event, text) for event, text in texts if text]
        ack = inputs.reset_ack
        if ack is not None and m.state is State.RESUMING:
            if ack.ok:
                found += m.gate.acknowledge(ack)
            else:
                found.append(Occurrence(Event.POLICY_STALE, f"the policy refused the reset: {ack.message}"))
        if m.mode is Mode.SHADOW:
            found = self._shadowed(found)
        admitted = (admit(m, request) for request in inputs.requests)
        return found + [occurrence for occurrence in admitted if occurrence is not None]

    def _shadowed(self, found: list[Occurrence]) -> list[Occurrence]:
        """In shadow mode an alarm is noted and halts nothing."""
        for occurrence in found:
            if occurrence.event in ALARMS:
                alarm(self._m, occurrence)
        return [o for o in found if o.event not in ALARMS]

    # -- transitions -----------------------------------------------------------------------------------------------
    def _settle(self, arrived: list[Occurrence]) -> None:
        """Take transitions until none is left; what arrived is used up, what does not fit stays in ``arrived``."""
        for _ in range(_MOST_TRANSITIONS):
            found = self._next([*arrived, *conditions(self._m)]) or self._next(list(joining(self._m)))
            if found is None:
                return
            occurrence, row = found
            if any(occurrence is one for one in arrived):
                arrived[:] = [one for one in arrived if one is not occurrence]
            self._take(row, occurrence)
        raise RuntimeError(f"more than {_MOST_TRANSITIONS} transitions in one step, last in {self.state.name}")

    def _next(self, candidates: list[Occurrence]) -> tuple[Occurrence, Row] | None:
        """The most urgent event that has a meaning in the current state."""
        for occurrence in sorted(candidates, key=lambda o: o.event):
            row = row_for(self._m.state, occurrence.event)
            if row is not None:
                return occurrence, row
        return None

    def _take(self, row: Row, occurrence: Occurrence) -> None:
        m, request = self._m, occurrence.request
        begins = m.episode is None
        if request is not None:
            m.desk.grant(request)
            if not begins:
                tell(m, Moment.OPERATOR, request.wish.value)
        act(m, row.action, occurrence)
        if request is not None and begins:
            tell(m, Moment.OPERATOR, request.wish.value)
        if row.target is m.state:
            return
        m.previous, m.state, m.entered_at = m.state, row.target, m.now
        if occurrence.event in KEEP_REASON:
            m.text = occurrence.text or m.text
        else:
            m.reason, m.text = REASONS.get(occurrence.event, Reason.NONE), occurrence.text
        m.desk.entered(m.state, m.text, m.episode_id)

    def _stream(self, tick: bool) -> None:
        """While the policy moves the arm: release what passed, and halt where what was released is used up."""
        m = self._m
        if m.state is not State.AUTONOMOUS:
            return
        measured = m.senses.measured
        if measured is not None and m.gate.release(m.now) is not None:
            m.step.at_once = True
            unreachable = m.gate.solve(measured, m.last)
            if unreachable is not None:
                self._settle([unreachable])
                return
        if m.config.lockstep or not (tick or m.step.at_once) or not m.gate.ran_out(m.now):
            return
        if m.gate.starved and m.mode is Mode.GUARD:
            self._settle([Occurrence(Event.MONITOR_STALE, f"no score for chunk {m.gate.starved} in time")])
        else:
            self._settle([Occurrence(Event.QUEUE_EMPTY, "the released actions ran out")])

    # -- what goes out ---------------------------------------------------------------------------------------------
    def _outputs(self, made: Command | None, tick: bool) -> Outputs:
        m = self._m
        snapshot = self.snapshot()
        changed = self._shown is None or not _same(self._shown, snapshot)
        self._shown = snapshot
        replies = m.desk.take_replies()
        return Outputs(
            state=snapshot,
            changed=changed,
            command=made,
            cancel=m.step.cancel,
            reset=m.step.reset,
            happenings=tuple(m.step.happenings),
            replies=replies,
            rephase=made is not None and not tick and not m.config.lockstep,
            switch_to=m.step.switch_to,
            recover=m.step.recover,
            waiting=m.config.lockstep and m.senses.unanswered,
            exit=self._finished(),
        )

    def _finished(self) -> bool:
        """In SHUTDOWN: nothing is held, or the arm rests, or there is no time left."""
        m = self._m
        if m.state is not State.SHUTDOWN:
            return False
        rests = m.hold is None or m.senses.still(m.now, m.entered_at)
        return rests or m.now - m.entered_at >= m.config.shutdown_time

    def snapshot(self) -> Snapshot:
        """The state as it is to be published."""
        m = self._m
        source = {State.AUTONOMOUS: Source.POLICY, State.TELEOP: Source.TELEOP}.get(m.state, Source.NONE)
        return Snapshot(
            state=m.state,
            previous=m.previous,
            reason=m.reason,
            text=m.text,
            mode=m.mode,
            source=source,
            takeover_requested=m.takeover_requested,
            intervention=m.state is State.TELEOP,
            risk=m.risk,
            episode_id=m.episode_id,
            released=m.gate.released,
            halt_verified=m.halt_verified,
            alarm_to_rest=m.alarm_to_rest,
            failing_guards=tuple(failure.name for failure in m.failing),
            discarded_chunks=m.gate.discarded,
        )


def _risk(score: Score) -> Risk:
    if not score.passes:
        return Risk.ALERT
    near = score.threshold - _NEAR_THRESHOLD * abs(score.threshold)
    return Risk.WARN if score.nonconformity > near else Risk.OK


def _same(a: Snapshot, b: Snapshot) -> bool:
    """Equal, where NaN equals NaN."""
    both_nan = math.isnan(a.alarm_to_rest) and math.isnan(b.alarm_to_rest)
    if both_nan:
        return all(getattr(a, name) == getattr(b, name) for name in _COMPARED)
    return a == b


_COMPARED = tuple(name for name in Snapshot.__dataclass_fields__ if name != "alarm_to_rest")
