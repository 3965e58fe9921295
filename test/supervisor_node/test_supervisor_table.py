"""Every row of the transition table happens, and nothing that is not in it."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest

from supervisor_node.arms import open_arm
from supervisor_node.arms.crisp import CrispArm
from supervisor_node.config import Config
from supervisor_node.states import Reason, State
from supervisor_node.table import REASONS, TABLE, Action, Event, Row
from supervisor_node.values import Pose, Wish
from vla_uq.contracts import Key

S, E = State, Event


def _score(bench: Any, score_of: Any, chunk_of: Any, value: float, **changes: Any) -> None:
    bench.advance(0.05)
    key = Key(bench.info.run_id, bench.sequence + 5, bench.shown.episode_id, 30)
    bench.step(score=score_of(chunk_of(key), value, **changes))


def _big_first_step(bench: Any) -> None:
    def bend(chunk: Any) -> Any:
        actions = chunk.actions.copy()
        actions[0, 0] = 0.15
        return dataclasses.replace(chunk, actions=actions)

    bench.bend, bench.score_delay = bend, 10
    bench.advance(0.5)


def _stop_inferring(bench: Any) -> None:
    bench._infer_at = math.inf


def _blend(bench: Any) -> None:
    bench.hold_device()
    bench.ask(Wish.TAKE)


def _leave(bench: Any) -> None:
    bench.lease, bench.device = None, None


PROVOKE: dict[Event, Callable[[Any], None]] = {
    E.ARMED: lambda b: b.until(S.IDLE),
    E.START: lambda b: b.ask(Wish.START),
    E.BAD_CHUNK: lambda b: b.step(bad_chunk="no chunk"),
    E.ESTOP: lambda b: setattr(b, "estop", True),
    E.HALT: lambda b: b.ask(Wish.HALT),
    E.INTERNAL: lambda b: b.step(error="boom"),
    E.CLOCK_JUMP: lambda b: b.step(clock_jump="back by 3 s"),
    E.ROBOT_STALE: lambda b: setattr(b, "robot", False),
    E.FOREIGN_PUBLISHER: lambda b: b.step(publishers={"target_pose": 2}),
    E.MONITOR_STALE: lambda b: setattr(b, "monitor", False),
    E.POLICY_STALE: lambda b: setattr(b, "policy", False),
    E.GUARD: lambda b: b.step(subscribers={"target_pose": 0}),
    E.HARDWARE: lambda b: b.step(hardware="reflex"),
    E.JOIN_TOO_LARGE: _big_first_step,
    E.RESUME_TIMEOUT: lambda b: None,
    E.END: lambda b: b.end(),
    E.JOINED: lambda b: setattr(b, "score_delay", 10),
    E.QUEUE_EMPTY: _stop_inferring,
    E.BLEND: _blend,
    E.TAKE: lambda b: b.ask(Wish.TAKE),
    E.GIVE: lambda b: b.ask(Wish.GIVE),
    E.LEASE_LOST: _leave,
    E.RELEASED: lambda b: setattr(b, "lease", False),
    E.LOST: lambda b: setattr(b, "robot", False),
    E.UNVERIFIED: lambda b: setattr(b.plant, "runaway", 0.1),
    E.REPEAT: lambda b: setattr(b.plant, "runaway", 0.1),
    E.SWITCH: lambda b: setattr(b.plant, "runaway", 0.1),
    E.DRIFTED: lambda b: setattr(b.plant, "q", b.plant.q + 0.05),
    E.RESUME: lambda b: (b.advance(0.6), b.ask(Wish.RESUME)),
    E.SHUTDOWN: lambda b: b.step(shutdown=True),
    E.AT_REST: lambda b: None,
}


def _to_switched(bench: Any) -> None:
    """HALTED under the hold controller: the arm ran away until the third step of the escalation."""
    bench.to(S.HALTING)
    bench.plant.runaway = 0.1
    bench.advance(1.1)
    assert any(out.switch_to for out in bench.outputs)
    bench.plant.runaway = 0.0
    bench.step(adapter="controller: hold holds the arm: call recover_robot")
    bench.until(S.HALTED)


@pytest.fixture
def at(new_bench: Any, chunk_of: Any, score_of: Any) -> Callable[[State, Event], Any]:
    """A bench in the row's state, ready for its event."""

    def make(state: State, event: Event) -> Any:
        arm = open_arm("franka_crisp_sim")
        switches = event is E.SWITCH or (event is E.RECOVER and state is S.HALTED)
        if switches:
            arm = CrispArm(dataclasses.replace(arm.profile, hold_controller="hold"))
        bench = new_bench(Config(require_estop=event is E.ESTOP, takeover_blend=event is E.BLEND), arm=arm)
        bench.estop = False if event is E.ESTOP else None
        if event is E.REST_TO_TELEOP or (event is E.GIVE and state is S.HALTING):
            bench.to(S.AUTONOMOUS)
            bench.ask(Wish.TAKE)
        elif event is E.REST_TO_IDLE or (state is S.HALTING and event in (E.ESTOP, E.HALT, E.INTERNAL)):
            bench.to(S.AUTONOMOUS)
            bench.end()
        elif event is E.RECOVER and state is S.HALTED:
            _to_switched(bench)
        else:
            bench.to(state)
        if event is E.TAKE and state is S.HALTED:
            bench.hold_device()
        assert bench.state is state
        return bench

    return make


@pytest.mark.parametrize("row", TABLE, ids=lambda r: f"{r.source.name}-{r.event.name}-{r.target.name}")
def test_row(row: Row, at: Any, chunk_of: Any, score_of: Any) -> None:
    bench = at(row.source, row.event)
    before = len(bench.outputs)
    if row.event is E.ALERT:
        _score(bench, score_of, chunk_of, 3.0)
    elif row.event is E.FROZEN_CAMERA:
        _score(bench, score_of, chunk_of, 0.1, alarm=True, detectors={"frozen_camera": (1.0, 0.0)})
    elif row.event is E.RECOVER:
        if row.source in (S.UNKNOWN, S.IDLE):
            bench.step(hardware="reflex")
        asked = bench.ask(Wish.RECOVER)
        assert bench.outputs[-1].recover and asked not in bench.replies
    elif row.event is E.BAD_SCORE:
        _score(bench, score_of, chunk_of, math.nan)
    elif row.event is E.REST_TO_TELEOP:
        bench.hold_device()
    elif row.event is E.RESET:
        bench.plant.runaway = 0.0
        bench.advance(0.5)
        bench.ask(Wish.RESET)
    elif row.event in PROVOKE:
        PROVOKE[row.event](bench)
    if row.target is row.source:
        _self_row(bench, row)
        return
    out = next((out for out in bench.outputs[before:] if out.state.state is row.target), None) or bench.until(
        row.target
    )
    assert out.state.previous is row.source
    if row.event in REASONS:
        assert out.state.reason is REASONS[row.event], out.state.text
    if row.action in (Action.BRAKE, Action.BRAKE_FOR_END, Action.BRAKE_FOR_TELEOP):
        assert out.command is not None and out.command.motion.joints is not None, "the hold goes out in the same step"
    assert bench.audit().violated("I1") == 0 and bench.audit().violated("I9") == 0


def _self_row(bench: Any, row: Row) -> None:
    """Rows that stay in HALTING change what follows, or what is sent."""
    if row.action is Action.RECOVER:
        state = bench.state
        bench.step(recovered="", hardware="")
        assert [reply.ok for reply in bench.replies.values()][-1:] == [True] and bench.state is state
    elif row.action is Action.LATCH:
        bench.until(S.HALTED)
        assert bench.shown.reason is REASONS[row.event]
    elif row.action is Action.QUEUE_END:
        bench.until(S.IDLE)
        assert bench.shown.reason is Reason.EPISODE_END
    elif row.action is Action.SWITCH:
        bench.advance(1.5)
        assert [out.switch_to for out in bench.outputs if out.switch_to] == ["hold"]
        assert bench.state is S.HALTING
    else:
        start, first = bench.now, len(bench.outputs)
        bench.advance(0.55)
        assert bench.state is S.HALTING and any(at > start + 0.45 for at, _ in bench.commands)
        (cancelled,) = [out for out in bench.outputs[first:] if out.cancel]
        assert cancelled.command is not None and cancelled.command.motion.joints is not None, "the same hold again"


ARRIVALS = [E.BAD_CHUNK, E.HALT, E.INTERNAL, E.CLOCK_JUMP, E.FOREIGN_PUBLISHER, E.GUARD, E.HARDWARE, E.TAKE, E.GIVE]
ARRIVALS += [E.END, E.START, E.RESUME]
ROWS = {(row.source, row.event) for row in TABLE}
NOT_IN_TABLE = [pair for pair in itertools.product(State, ARRIVALS) if pair not in ROWS]


@pytest.mark.parametrize(("state", "event"), NOT_IN_TABLE, ids=lambda value: value.name)
def test_what_is_not_in_the_table_changes_nothing(state: State, event: Event, at: Any) -> None:
    bench = at(state, event) if state is not S.HALTING else at(S.HALTING, E.AT_REST)
    if event is E.RESUME:
        bench.ask(Wish.RESUME)
    else:
        PROVOKE[event](bench)
    assert bench.state is state
    for reply in bench.replies.values():
        assert reply.ok or reply.message, "a refusal says why"


def test_rows_are_unique() -> None:
    assert len(ROWS) == len(TABLE)


def test_latched_states_are_left_by_operators_only() -> None:
    operators = {E.END, E.TAKE, E.RESUME, E.RESET, E.RECOVER}
    for row in TABLE:
        if row.source in (S.HALTED, S.FAULT) and row.target not in (S.FAULT, S.SHUTDOWN):
            assert row.event in operators


def test_shutdown_is_never_left() -> None:
    assert not [row for row in TABLE if row.source is S.SHUTDOWN]


def test_what_stops_beats_what_starts() -> None:
    stops = [row.event for row in TABLE if row.target is S.HALTING and row.source is S.AUTONOMOUS]
    starts = [row.event for row in TABLE if row.target in (S.AUTONOMOUS, S.TELEOP, S.RESUMING)]
    wanted = [event for event in stops if event not in (E.TAKE, E.END)]
    assert max(wanted) < min(starts)
    assert min(stops) is E.FROZEN_CAMERA


def test_takeover_pose_must_be_near(bench: Any) -> None:
    bench.to(S.HALTED)
    bench.hold_device(0.2)
    taken = bench.ask(Wish.TAKE)
    assert bench.state is S.HALTED
    assert not bench.replies[taken].ok and "0.2 m away, at most 0.12" in bench.replies[taken].message


def test_device_pose_that_is_no_rotation_is_ignored(bench: Any) -> None:
    bench.to(S.HALTED)
    bench.hold_device()
    bench.device = Pose(bench.device.position, bench.device.rotation * math.nan)
    bench.advance(0.3)
    taken = bench.ask(Wish.TAKE)
    assert not bench.replies[taken].ok and "teleop pose" in bench.replies[taken].message
