"""What a transition does beside changing the state: the third column of the table."""

from __future__ import annotations

import math
from collections.abc import Callable

from supervisor_node.episode import Episode
from supervisor_node.memory import Memory
from supervisor_node.states import Moment, Risk, State
from supervisor_node.table import ALARMS, ASKS_FOR_TAKEOVER, REASONS, Action, Occurrence
from supervisor_node.values import NO_KEY, Happening, ResetOrder
from vla_uq.contracts import Key


def act(m: Memory, action: Action, occurrence: Occurrence) -> None:
    """Do what a row of the table asks for."""
    _ACTIONS[action](m, occurrence)


def tell(m: Memory, moment: Moment, text: str = "", key: Key = NO_KEY) -> None:
    """Note a moment of the episode."""
    label = m.episode.label if m.episode is not None and moment is Moment.ENDED else None
    happening = Happening(moment, m.episode_id, key, text=text)
    m.step.happenings.append(happening if label is None else Happening(moment, m.episode_id, key, label, text))


def alarm(m: Memory, occurrence: Occurrence) -> None:
    """Note the first alarm of an episode; in shadow mode that is all that an alarm does."""
    m.risk = Risk.ALERT
    if m.episode is not None and not m.episode.alarmed:
        m.episode.alarmed = True
        tell(m, Moment.ALARM, occurrence.text, occurrence.key)


# -- the episode ---------------------------------------------------------------------------------------------------
def _nothing(m: Memory, occurrence: Occurrence) -> None:
    pass


def _begin(m: Memory, occurrence: Occurrence) -> None:
    m.episodes += 1
    request = occurrence.request
    m.episode = Episode(f"{m.prefix}-{m.episodes:04d}", request.instruction if request is not None else "")
    m.gate.discarded = 0
    m.gripper.clear()
    m.hold, m.last, m.halt_verified, m.alarm_to_rest = None, None, False, math.nan
    tell(m, Moment.STARTED, m.episode.instruction)
    _ask_for_reset(m)


def _reset_policy(m: Memory, occurrence: Occurrence) -> None:
    assert m.episode is not None
    m.episode.resumes += 1
    m.episode.resuming, m.episode.alarmed = True, False
    _ask_for_reset(m)


def _ask_for_reset(m: Memory) -> None:
    assert m.episode is not None
    m.takeover_requested, m.risk = False, Risk.OK
    m.gate.expect(m.episode.id, m.senses.policy)
    m.step.reset = ResetOrder(m.episode.id, m.episode.instruction)


def _open(m: Memory, occurrence: Occurrence) -> None:
    assert m.episode is not None
    # The hold stands until the source's first command: what ends before that must not capture it anew.
    m.last, m.last_tick, m.step.at_once = None, m.now, True
    if m.episode.resuming:
        m.gripper.change_source()
        tell(m, Moment.RESUMED, key=occurrence.key)


def _take(m: Memory, occurrence: Occurrence) -> None:
    if m.state is State.HALTING:
        _rest(m, occurrence)
    m.last, m.last_tick, m.step.at_once = None, m.now, True
    m.takeover_requested = False
    m.gripper.change_source()
    tell(m, Moment.TAKEOVER)


def _blend(m: Memory, occurrence: Occurrence) -> None:
    """The device steps from the measured pose, as after a halt: its pose is near, and a step is bounded."""
    m.gate.close()
    _take(m, occurrence)


def _close_episode(m: Memory, occurrence: Occurrence) -> None:
    if m.state is State.HALTING:
        _rest(m, occurrence)
    if m.state is State.HALTED:
        _note_label(m, occurrence)
    m.gate.close()
    tell(m, Moment.ENDED, m.episode.note if m.episode is not None else "")
    m.episode, m.hold, m.last = None, None, None
    m.takeover_requested, m.risk = False, Risk.OK


def _note_label(m: Memory, occurrence: Occurrence) -> None:
    if m.episode is not None and occurrence.request is not None:
        m.episode.label, m.episode.note = occurrence.request.label, occurrence.request.note


# -- the stop ------------------------------------------------------------------------------------------------------
def _brake(m: Memory, occurrence: Occurrence) -> None:
    _stop(m, occurrence, State.HALTED)


def _brake_for_teleop(m: Memory, occurrence: Occurrence) -> None:
    _stop(m, occurrence, State.TELEOP)


def _brake_for_end(m: Memory, occurrence: Occurrence) -> None:
    _note_label(m, occurrence)
    _stop(m, occurrence, State.IDLE)


def _stop(m: Memory, occurrence: Occurrence, queued: State) -> None:
    if occurrence.event in ALARMS:
        alarm(m, occurrence)
    m.queued, m.escalated = queued, 0
    m.halted_for, m.halt_verified, m.alarm_to_rest = m.now, False, math.nan
    _hold(m, occurrence)


def _hold(m: Memory, occurrence: Occurrence) -> None:
    """Close the gate; capture the hold unless one stands: a hold that is captured again creeps with the load."""
    m.gate.close()
    m.lease.restart()
    measured = m.senses.measured
    if m.hold is None and measured is not None:
        m.hold = m.arm.brake(measured, m.last)
    m.last = None
    m.step.at_once = True
    m.takeover_requested = m.takeover_requested or REASONS.get(occurrence.event) in ASKS_FOR_TAKEOVER


def _hold_anew(m: Memory, occurrence: Occurrence) -> None:
    m.hold, m.halt_verified = None, True
    _hold(m, occurrence)


def _latch(m: Memory, occurrence: Occurrence) -> None:
    """HALTED follows; a halt that leads there already keeps its reason."""
    if m.queued is not State.HALTED:
        m.queued, m.text = State.HALTED, occurrence.text
        m.reason = REASONS[occurrence.event]


def _queue_end(m: Memory, occurrence: Occurrence) -> None:
    _note_label(m, occurrence)
    m.queued = State.IDLE


def _send_hold(m: Memory, occurrence: Occurrence) -> None:
    m.escalated, m.step.cancel, m.step.at_once = 1, True, True


def _switch(m: Memory, occurrence: Occurrence) -> None:
    m.escalated, m.step.switch_to = 2, m.arm.profile.hold_controller


def _recover(m: Memory, occurrence: Occurrence) -> None:
    m.step.recover, m.recover_until = True, m.now + m.config.recovery_timeout


def _rest(m: Memory, occurrence: Occurrence) -> None:
    m.halt_verified, m.alarm_to_rest = True, m.now - m.halted_for
    tell(m, Moment.HALTED, f"at rest after {m.alarm_to_rest:.3f} s")


def _leave(m: Memory, occurrence: Occurrence) -> None:
    if m.state in (State.UNKNOWN, State.IDLE):
        m.gate.close()
        return
    _hold(m, occurrence)


_ACTIONS: dict[Action, Callable[[Memory, Occurrence], None]] = {
    Action.NONE: _nothing,
    Action.BEGIN: _begin,
    Action.RESET_POLICY: _reset_policy,
    Action.OPEN: _open,
    Action.BRAKE: _brake,
    Action.BRAKE_FOR_TELEOP: _brake_for_teleop,
    Action.BRAKE_FOR_END: _brake_for_end,
    Action.HOLD: _hold,
    Action.HOLD_ANEW: _hold_anew,
    Action.LATCH: _latch,
    Action.QUEUE_END: _queue_end,
    Action.SEND_HOLD: _send_hold,
    Action.SWITCH: _switch,
    Action.REST: _rest,
    Action.TAKE: _take,
    Action.BLEND: _blend,
    Action.CLOSE_EPISODE: _close_episode,
    Action.RECOVER: _recover,
    Action.LEAVE: _leave,
}
