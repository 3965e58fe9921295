"""The fault rows about people, settings, load and time; the numbers are the specification's rows."""

from __future__ import annotations

import dataclasses
import math
import tracemalloc
from typing import Any

import pytest

from supervisor_node.config import Config
from supervisor_node.states import Reason, Source, State
from supervisor_node.values import ResetAck, Wish
from vla_uq.contracts import Key, Reference, Space
from vla_uq.errors import InputError

S = State


# -- 25 to 30: alarms, operators, teleoperation ----------------------------------------------------------------------
@pytest.mark.faults(row=25, tier="U")
def test_25_threshold_chatter_makes_one_halt(bench: Any) -> None:
    bench.to(S.AUTONOMOUS)
    bench.value = lambda key: 1.0 + 0.5 * math.sin(2.1 * key.step)
    bench.until(S.HALTED)
    bench.advance(3.0)
    assert bench.state is S.HALTED and bench.moments.count("ALARM") == bench.moments.count("HALTED") == 1


@pytest.mark.faults(row=26, tier="U")
def test_26_halt_with_resume_in_one_step(bench: Any) -> None:
    bench.to(S.HALTED)
    bench.advance(0.6)
    bench.ask(Wish.RESUME)
    bench.until(S.AUTONOMOUS)
    requests = (bench.request(Wish.RESUME), bench.request(Wish.HALT))
    out = bench.step(requests=requests)
    assert out.state.state is S.HALTING and not out.replies[0].ok


@pytest.mark.faults(row=26, tier="U")
def test_26_end_and_start_in_one_step_do_not_pass_by_the_guards(bench: Any) -> None:
    """A start is judged in the state in which it was asked, not in the one that the end before it leads to."""
    bench.to(S.HALTED)
    held = bench.commands[-1][1].motion.joints
    bench.step(subscribers={"target_pose": 0})
    out = bench.step(requests=(bench.request(Wish.END), bench.request(Wish.START)))
    assert out.state.state is S.IDLE and [reply.ok for reply in out.replies] == [False, True]
    bench.advance(0.3)
    assert bench.state is S.IDLE and bench.commands[-1][1].motion.joints is held and bench.audit().ok


@pytest.mark.faults(row=27, tier="U")
def test_27_teleop_dies_while_engaged(bench: Any) -> None:
    bench.to(S.TELEOP)
    bench.lease = None
    died = bench.now
    out = bench.until(S.HALTING)
    assert bench.now - died <= 0.21 and out.state.reason is Reason.LEASE_LOST
    bench.until(S.HALTED)
    assert bench.audit().ok


@pytest.mark.faults(row=27, tier="U")
def test_27_lease_without_commands(bench: Any) -> None:
    bench.to(S.TELEOP)
    bench.device, silent = None, bench.now
    out = bench.until(S.HALTING)
    assert bench.now - silent <= 0.21 and "no teleop pose" in out.state.text


@pytest.mark.faults(row=27, tier="U")
def test_27_commands_without_lease_do_nothing(bench: Any) -> None:
    bench.to(S.HALTED)
    bench.lease, bench.device, bench.grip = False, bench.plant.pose(bench.stamp), 0.0
    bench.advance(1.0)
    taken = bench.ask(Wish.TAKE)
    bench.advance(0.5)
    assert not bench.replies[taken].ok and bench.state is S.HALTED
    assert all(command.source is not Source.TELEOP for _, command in bench.commands)


@pytest.mark.faults(row=28, tier="U")
def test_28_deadman_that_was_never_released_is_stuck(bench: Any) -> None:
    bench.to(S.AUTONOMOUS)
    bench.lease, bench.device = True, bench.plant.pose(bench.stamp)
    bench.ask(Wish.HALT)
    bench.until(S.HALTED)
    bench.advance(1.0)
    taken = bench.ask(Wish.TAKE)
    assert not bench.replies[taken].ok and "not released since the halt" in bench.replies[taken].message
    bench.hold_device()
    assert bench.replies[bench.ask(Wish.TAKE)].ok


@pytest.mark.faults(row=29, tier="U")
def test_29_teleop_pose_far_from_the_arm(bench: Any) -> None:
    bench.to(S.HALTED)
    bench.hold_device(0.3)
    taken = bench.ask(Wish.TAKE)
    assert not bench.replies[taken].ok and "0.3 m away" in bench.replies[taken].message


@pytest.mark.faults(row=30, tier="U")
def test_30_chunk_older_than_the_reset_is_not_executed(bench: Any, chunk_of: Any, score_of: Any) -> None:
    bench.to(S.IDLE)
    bench.policy, bench.monitor = False, True
    bench.announce()
    out = bench.step(policy=bench.info, requests=(bench.request(Wish.START),))
    episode = out.reset.episode_id
    stale = chunk_of(Key(bench.info.run_id, 5, episode, 0), observation_age=0.02)
    fresh = chunk_of(Key(bench.info.run_id, 9, episode, 0), observation_age=0.02)
    bench.step(chunk=stale, score=score_of(stale))
    bench.step(chunk=fresh, score=score_of(fresh))
    assert bench.state is S.RESUMING, "nothing is released before the policy's answer"
    bench.step(reset_ack=ResetAck(True, "", bench.info.run_id, 9))
    assert bench.state is S.AUTONOMOUS and bench.shown.released.sequence == 9


@pytest.mark.faults(row=30, tier="U")
def test_30_policy_that_refuses_the_reset(bench: Any) -> None:
    bench.to(S.IDLE)
    bench.policy = False
    bench.step(policy=bench.info, requests=(bench.request(Wish.START),))
    bench.step(reset_ack=ResetAck(False, "no weights"))
    assert bench.state is S.HALTED and "no weights" in bench.shown.text


# -- 32, 33: mismatches and settings ---------------------------------------------------------------------------------
MISMATCHES = {
    "fingerprint": {"fingerprint": "other"},
    "horizon": {"horizon": 8},
    "dim": {"dim": 7, "names": ("x", "y", "z", "rx", "ry", "rz", "w")},
    "step_duration": {"step_duration": 0.1},
    "execute_steps": {"execute_steps": 5},
    "space": {"space": Space.EE_POSE},
    "reference": {"reference": Reference.PREVIOUS},
    "names": {"names": ("x", "y", "z", "rx", "ry", "rw")},
}


@pytest.mark.faults(row=32, tier="U")
@pytest.mark.parametrize("field", MISMATCHES)
def test_32_mismatch_refuses_to_arm_and_names_the_field(bench: Any, field: str) -> None:
    bench.info = dataclasses.replace(bench.info, **MISMATCHES[field])
    bench.advance(2.0)
    assert bench.state is S.UNKNOWN
    said = " ".join(map(str, bench.supervisor.failures))
    assert f"policy.{field}: " in said and "expect" in said and "found" in said


@pytest.mark.faults(row=33, tier="U")
def test_33_settings_that_cannot_be() -> None:
    with pytest.raises(InputError, match="require_monitor"):
        Config(require_monitor=False)
    with pytest.raises(InputError, match="lease_timeout"):
        Config(lease_timeout=math.nan)
    with pytest.raises(InputError, match="max_resumes"):
        Config(max_resumes=-1)


# -- 34, 39, 40: load, time, replay ----------------------------------------------------------------------------------
@pytest.mark.faults(row=34, tier="U")
def test_34_late_control_tick_halts(bench: Any) -> None:
    bench.to(S.AUTONOMOUS)
    bench.ticking = False
    out = bench.until(S.HALTING)
    assert out.state.reason is Reason.INTERNAL and "tick" in out.state.text


@pytest.mark.faults(row=34, tier="U")
def test_34_a_flood_of_inputs_changes_nothing(bench: Any) -> None:
    bench.to(S.AUTONOMOUS)
    before = len(bench.commands)
    for _ in range(1000):
        bench.feel()
    assert len(bench.commands) == before and bench.state is S.AUTONOMOUS


@pytest.mark.faults(row=38, tier="U")
def test_38_an_error_elsewhere_halts(bench: Any) -> None:
    bench.to(S.AUTONOMOUS)
    out = bench.step(error="boom")
    assert out.state.reason is Reason.INTERNAL and out.command is not None and out.command.source is Source.NONE


@pytest.mark.faults(row=39, tier="U")
def test_39_memory_is_bounded(bench: Any) -> None:
    bench.to(S.AUTONOMOUS)

    def run(seconds: float) -> int:
        for _ in range(10):
            bench.advance(seconds / 10)
            bench.trace.clear()
            bench.outputs[:-1] = []
        return tracemalloc.get_traced_memory()[0]

    run(6.0)
    tracemalloc.start()
    first, later = run(3.0), run(12.0)
    tracemalloc.stop()
    assert bench.state is S.AUTONOMOUS
    assert later - first < 200_000


@pytest.mark.faults(row=40, tier="U")
def test_40_the_same_inputs_give_the_same_outputs(new_bench: Any) -> None:
    def run() -> list[str]:
        bench = new_bench()
        bench.value = lambda key: 3.0 if key.step == 5 else 0.3
        bench.to(S.AUTONOMOUS)
        bench.until(S.HALTED)
        bench.hold_device(0.05)
        bench.ask(Wish.TAKE)
        bench.advance(0.5)
        return [repr((out.state, out.happenings, out.replies, out.command)) for out in bench.outputs]

    assert run() == run()
