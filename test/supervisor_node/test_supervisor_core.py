"""The ordinary life of an episode, on a fake clock."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from supervisor_node.config import Config
from supervisor_node.states import Mode, Moment, Reason, Source, State
from supervisor_node.values import Inputs, Wish


def test_start_needs_half_a_second_of_rest_and_guards(bench: Any) -> None:
    bench.until(State.IDLE)
    assert 0.5 <= bench.now <= 0.9
    assert not bench.commands, "nothing is sent before an episode"


def test_an_episode_runs_and_ends(bench: Any) -> None:
    bench.to(State.AUTONOMOUS)
    bench.advance(3.0)
    assert bench.state is State.AUTONOMOUS
    times = [at for at, command in bench.commands]
    gaps = np.diff(times)
    assert (gaps <= 0.05 + 1e-9).all(), "a command at every tick, none missing"
    end = bench.end()
    bench.until(State.IDLE)
    assert bench.replies[end].ok
    assert bench.moments == ["STARTED", "OPERATOR", "OPERATOR", "HALTED", "ENDED"]
    report = bench.audit()
    assert report.ok, report.violations
    assert report.unscored_chunks_executed == 0 and report.chunks_executed >= 10


def test_every_action_of_the_executed_part_is_sent_once_and_in_order(bench: Any) -> None:
    bench.to(State.AUTONOMOUS)
    bench.advance(3.0)
    indices: dict[int, list[int]] = {}
    for _, command in bench.commands:
        indices.setdefault(command.key.sequence, []).append(command.index)
    for sequence, sent in list(indices.items())[:-1]:
        assert sent[:6] == list(range(6)), sequence
        assert len(sent) <= 8, "the next chunk takes over when it is released"


def test_alarm_halts_in_the_same_step(bench: Any) -> None:
    bench.to(State.AUTONOMOUS)
    bench.value = lambda key: 2.0 if key.step >= 4 else 0.2
    out = bench.until(State.HALTING)
    assert out.command is not None and out.command.source is Source.NONE and out.command.motion.joints is not None
    assert out.state.reason is Reason.ALERT and out.state.takeover_requested
    assert [h.moment for h in out.happenings] == [Moment.ALARM] and out.happenings[0].key.step == 4
    out = bench.until(State.HALTED)
    assert out.state.halt_verified and 0.199 <= out.state.alarm_to_rest <= 0.7
    assert bench.audit().ok


def test_hold_is_captured_once(bench: Any) -> None:
    bench.to(State.HALTED)
    bench.advance(2.0)
    holds = [c.motion.joints for _, c in bench.commands if c.source is Source.NONE]
    assert len(holds) > 40 and all(np.array_equal(hold, holds[0]) for hold in holds)
    assert bench.state is State.HALTED


def test_takeover_and_resume(bench: Any) -> None:
    bench.to(State.AUTONOMOUS)
    bench.value = lambda key: 2.0
    bench.until(State.HALTED)
    bench.value = lambda key: 0.2
    bench.hold_device(0.02)
    taken = bench.ask(Wish.TAKE)
    assert bench.replies[taken].ok and bench.state is State.TELEOP and bench.shown.intervention
    bench.advance(0.5)
    assert abs(bench.plant.pose((0, 0)).position[0] - bench.device.position[0]) < 0.005
    given = bench.ask(Wish.GIVE)
    bench.lease = None
    assert given not in bench.replies, "an answer is true: the arm is not at rest yet"
    bench.until(State.HALTED)
    assert bench.replies[given].ok
    bench.advance(0.6)
    resumed = bench.ask(Wish.RESUME)
    bench.until(State.AUTONOMOUS)
    assert bench.replies[resumed].ok
    bench.advance(1.0)
    bench.end()
    bench.until(State.IDLE)
    assert [m for m in bench.moments if m != "OPERATOR"] == [
        *("STARTED", "ALARM", "HALTED", "TAKEOVER", "HALTED", "RESUMED", "HALTED", "ENDED")
    ]
    report = bench.audit()
    assert report.ok, report.violations
    assert report.teleop_commands >= 10


def test_only_one_resume_in_an_episode(bench: Any) -> None:
    bench.to(State.HALTED)
    for _ in range(2):
        bench.advance(0.6)
        resumed = bench.ask(Wish.RESUME)
        if resumed in bench.replies:
            break
        bench.until(State.AUTONOMOUS)
        bench.ask(Wish.HALT)
        bench.until(State.HALTED)
    assert not bench.replies[resumed].ok and "resumed 1 times" in bench.replies[resumed].message


def test_halt_is_answered_when_the_arm_rests(bench: Any) -> None:
    bench.to(State.AUTONOMOUS)
    asked = bench.ask(Wish.HALT)
    assert bench.state is State.HALTING and asked not in bench.replies
    bench.until(State.HALTED)
    assert bench.replies[asked].ok


def test_operator_takes_over_from_the_policy(bench: Any) -> None:
    bench.to(State.AUTONOMOUS)
    taken = bench.ask(Wish.TAKE)
    assert bench.state is State.HALTING
    bench.hold_device()
    bench.until(State.TELEOP)
    assert bench.replies[taken].ok


def test_takeover_without_a_device_ends_halted(bench: Any) -> None:
    bench.to(State.AUTONOMOUS)
    taken = bench.ask(Wish.TAKE)
    bench.until(State.HALTED)
    assert not bench.replies[taken].ok and "no lease" in bench.replies[taken].message


def test_alert_beats_everything_in_the_same_step(bench: Any, chunk_of: Any, score_of: Any) -> None:
    bench.to(State.AUTONOMOUS)
    key = bench.commands[-1][1].key
    late = score_of(chunk_of(key), 5.0)
    requests = tuple(bench.request(wish) for wish in (Wish.RESUME, Wish.END, Wish.TAKE, Wish.START))
    out = bench.step(score=late, requests=requests, tick=True, lease=True)
    assert out.state.state is State.HALTING and out.state.reason is Reason.ALERT
    assert out.command is not None and out.command.source is Source.NONE
    resume = next(reply for reply in out.replies if reply.id == requests[0].id)
    assert not resume.ok


@pytest.mark.parametrize("held", [False, True])
def test_shutdown_holds_what_moves(bench: Any, held: bool) -> None:
    bench.to(State.AUTONOMOUS if held else State.IDLE)
    out = bench.step(shutdown=True)
    assert out.state.state is State.SHUTDOWN
    assert (out.command is not None) == held
    start = bench.now
    while not bench.outputs[-1].exit:
        bench.advance(0.01)
    assert bench.now - start <= 0.51


def test_shadow_mode_halts_nothing_on_a_score(new_bench: Any) -> None:
    bench = new_bench(Config(mode=Mode.SHADOW))
    bench.value = lambda key: float("nan") if key.step == 3 else 9.0
    bench.to(State.AUTONOMOUS)
    bench.advance(2.0)
    assert bench.state is State.AUTONOMOUS and bench.shown.mode is Mode.SHADOW
    assert bench.moments.count("ALARM") == 1
    halted = bench.ask(Wish.HALT)
    bench.until(State.HALTED)
    assert bench.replies[halted].ok
    report = bench.audit()
    assert report.ok and report.unscored_chunks_executed == 0 and report.unscored_chunks_in_shadow > 0


def test_shadow_mode_goes_on_without_a_monitor(new_bench: Any) -> None:
    bench = new_bench(Config(mode=Mode.SHADOW))
    bench.to(State.AUTONOMOUS)
    bench.monitor = False
    bench.advance(3.0)
    assert bench.state is State.AUTONOMOUS
    assert {c.key.sequence for _, c in bench.commands} >= set(range(100, 108))


def test_mode_changes_only_while_nothing_runs(bench: Any) -> None:
    bench.to(State.IDLE)
    assert not bench.supervisor.set_mode(Mode.SHADOW) and not bench.supervisor.set_mode(Mode.GUARD)
    bench.ask(Wish.START)
    bench.until(State.AUTONOMOUS)
    assert "AUTONOMOUS" in bench.supervisor.set_mode(Mode.SHADOW)


def test_hold_that_stood_is_kept_when_a_takeover_ends_before_its_first_command(bench: Any) -> None:
    bench.to(State.HALTED)
    held = bench.commands[-1][1].motion.joints
    bench.hold_device()
    bench.plant.q = bench.plant.q + 1e-4  # what the arm measures now is not what it was told to hold
    bench.feel()
    bench.give(Inputs(requests=(bench.request(Wish.TAKE),), clock_jump="the clock jumped back"))
    bench.until(State.HALTED)
    bench.advance(0.2)
    assert bench.commands[-1][1].source is Source.NONE
    np.testing.assert_array_equal(bench.commands[-1][1].motion.joints, held)


def test_takeover_that_blends_needs_no_stop_and_steps_no_farther_than_any_other(new_bench: Any) -> None:
    bench = new_bench(Config(takeover_blend=True))
    bench.to(State.AUTONOMOUS)
    bench.hold_device(0.02)
    taken = bench.ask(Wish.TAKE)
    assert bench.replies[taken].ok and bench.state is State.TELEOP and State.HALTING not in states(bench)
    (first,) = [out.command for out in bench.outputs[-1:]]
    assert first.source is Source.TELEOP
    bench.policy = False
    bench.advance(0.4)
    assert {c.source for _, c in bench.commands[-6:]} == {Source.TELEOP}, "what the policy had left is void"
    bench.ask(Wish.GIVE)
    bench.until(State.HALTED)
    report = bench.audit()
    assert report.ok, report.violations


@pytest.mark.parametrize("away", [0.2, None])
def test_takeover_that_may_not_blend_stops_first(new_bench: Any, away: float | None) -> None:
    bench = new_bench(Config(takeover_blend=True))
    bench.to(State.AUTONOMOUS)
    if away is not None:
        bench.hold_device(away)
    bench.ask(Wish.TAKE)
    assert bench.state is State.HALTING


def states(bench: Any) -> set[State]:
    return {out.state.state for out in bench.outputs}
