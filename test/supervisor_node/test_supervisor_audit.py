"""The auditor finds what is wrong: true traces pass, each kind of tampering is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from supervisor_node.arms import open_arm
from supervisor_node.audit import Auditor, Report
from supervisor_node.audit.contents import Announced, AskedPose, SeenPose, SentJoints, SentPose
from supervisor_node.audit.report import RULES
from supervisor_node.states import Mode, Moment, Source, State
from supervisor_node.values import Command, Happening, Motion, Pose, Wish
from vla_uq.contracts import Chunk, Score

Trace = list[tuple[float, Any]]


def audit(trace: Trace, reaction: float = 0.0, announcement: float = 0.0) -> Report:
    auditor = Auditor(open_arm("franka_crisp_sim"), reaction, announcement)
    for at, content in trace:
        auditor.take(at, content)
    return auditor.finish()


@pytest.fixture
def trace(bench: Any) -> Trace:
    """Start, policy, alarm, takeover, back, resume, end."""
    bench.to(State.AUTONOMOUS)
    bench.advance(1.0)
    bench.value = lambda key: 2.0
    bench.until(State.HALTED)
    bench.value = lambda key: 0.2
    bench.hold_device(0.05)
    bench.ask(Wish.TAKE)
    bench.advance(0.4)
    bench.ask(Wish.GIVE)
    bench.lease = None
    bench.until(State.HALTED)
    bench.advance(0.6)
    bench.ask(Wish.RESUME)
    bench.until(State.AUTONOMOUS)
    bench.advance(0.5)
    bench.end()
    bench.until(State.IDLE)
    return list(bench.trace)


def changed(trace: Trace, which: Callable[[Any], bool], change: Callable[[Any], Any], count: int = 1) -> Trace:
    """The first ``count`` contents that fit, changed."""
    out: Trace = []
    for at, content in trace:
        if count and which(content):
            content, count = change(content), count - 1
        out.append((at, content))
    assert count == 0, "nothing to tamper with"
    return out


def of_policy(content: Any) -> bool:
    return isinstance(content, Command) and content.source is Source.POLICY


def moved(command: Command) -> Command:
    pose = command.motion.pose
    assert pose is not None
    return dataclasses.replace(command, motion=Motion(Pose(pose.position + [1e-5, 0, 0], pose.rotation)))


def test_a_true_trace_passes(trace: Trace) -> None:
    report = audit(trace)
    assert report.ok, report.violations
    assert report.unseen == report.unrecorded == report.unattested == report.unscored_chunks_executed == 0
    assert report.policy_commands and report.teleop_commands and report.holds
    assert report.largest_derivation_error < 1e-12
    counts = next(iter(report.episodes.values()))
    assert (counts.alarms, counts.halts, counts.takeovers, counts.resumes) == (1, 3, 1, 1)
    assert report.as_dict()["rules"] == dict.fromkeys(RULES, 0)


def test_command_that_is_not_what_the_chunk_says(trace: Trace) -> None:
    report = audit(changed(trace, of_policy, moved))
    assert report.violated("derived") == 1 and report.violated("I1") == 1, "neither derived, nor what was on the wire"
    assert report.largest_derivation_error == pytest.approx(1e-5, rel=0.1)


def test_command_of_an_unknown_chunk(trace: Trace) -> None:
    report = audit(changed(trace, of_policy, lambda c: dataclasses.replace(c, digest=c.digest ^ 1)))
    assert report.violated("derived") == 1 and report.unscored_chunks_executed == 1


def test_missing_and_late_scores(trace: Trace) -> None:
    first = next(content for _, content in trace if isinstance(content, Score))
    without = [(at, content) for at, content in trace if content is not first]
    assert audit(without).unscored_chunks_executed == 1 and audit(without).violated("I9") == 1
    late = sorted([*without, (trace[-1][0], first)], key=lambda each: each[0])
    assert audit(late).unscored_chunks_executed == 1
    other = changed(trace, lambda c: c is first, lambda c: dataclasses.replace(c, chunk_digest=c.chunk_digest ^ 1))
    assert audit(other).unscored_chunks_executed == 1


def test_score_that_does_not_pass_counts_as_none(trace: Trace) -> None:
    report = audit(changed(trace, lambda c: isinstance(c, Score), lambda c: dataclasses.replace(c, nonconformity=7.0)))
    assert report.unscored_chunks_executed == 1
    counts = [each.unscored_chunks_executed for each in report.episodes.values()]
    assert sum(counts) == 1


def test_in_shadow_mode_unscored_chunks_are_counted_apart(trace: Trace) -> None:
    def shadow(content: Any) -> Any:
        if isinstance(content, Announced):
            return Announced(dataclasses.replace(content.snapshot, mode=Mode.SHADOW))
        return content

    report = audit([(at, shadow(content)) for at, content in trace if not isinstance(content, Score)])
    assert report.ok and report.unscored_chunks_executed == 0 and report.unscored_chunks_in_shadow > 3


def test_policy_after_an_alarm(trace: Trace) -> None:
    early = next(content for _, content in trace if of_policy(content))
    alarm = next(content for _, content in trace if isinstance(content, Score) and not content.passes)
    at = next(at for at, content in trace if content is early)
    announced = next(i for i, (t, c) in enumerate(trace) if t >= at and isinstance(c, Announced))
    bad = [*trace[: announced + 1], (at, alarm), *trace[announced + 1 :]]
    assert audit(bad).violated("I5") >= 1
    assert audit(bad, reaction=10.0).violated("I5") == 0


def test_hold_that_creeps(trace: Trace) -> None:
    holds = [c for _, c in trace if isinstance(c, Command) and c.source is Source.NONE]

    def creep(command: Command) -> Command:
        assert command.motion.joints is not None
        return dataclasses.replace(command, motion=Motion(joints=command.motion.joints + 1e-4))

    report = audit(changed(trace, lambda c: c is holds[2], creep))
    assert report.violated("I1") >= 2, "away from the hold and back, and unlike the wire"


@pytest.mark.parametrize("state", [State.HALTED, State.IDLE, State.RESUMING, State.FAULT])
def test_source_in_the_wrong_state(trace: Trace, state: State) -> None:
    report = audit(changed(trace, of_policy, lambda c: dataclasses.replace(c, state=state)))
    assert report.violated("I1") == 1


def test_sources_in_turn(trace: Trace) -> None:
    index = max(i for i, (_, c) in enumerate(trace) if isinstance(c, Command) and c.source is Source.TELEOP)
    policy = next(content for _, content in trace if of_policy(content))
    mixed = [*trace[:index], (trace[index][0], policy), *trace[index:]]
    assert audit(mixed).violated("I2") >= 1


def test_foreign_target(trace: Trace) -> None:
    foreign = SentPose(Pose(np.array([0.1, 0.1, 0.3]), np.eye(3), (1, 1)))
    report = audit([*trace, (trace[-1][0], foreign)])
    assert report.unrecorded == 1 and report.violated("I1") == 1


def test_records_and_targets_may_overtake_each_other(trace: Trace) -> None:
    sent = [each for each in trace if isinstance(each[1], (SentPose, SentJoints))]
    rest = [each for each in trace if not isinstance(each[1], (SentPose, SentJoints))]
    assert audit(sent + rest).ok


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_target_that_is_not_finite(trace: Trace, bad: float) -> None:
    def poison(command: Command) -> Command:
        assert command.motion.pose is not None
        return dataclasses.replace(command, motion=Motion(Pose(np.array([bad, 0, 0.3]), np.eye(3))))

    report = audit(changed(trace, of_policy, poison))
    assert report.violated("I3") == 1 and report.violated("derived") == 1


def test_joints_out_of_limits_or_misnamed(trace: Trace) -> None:
    def beyond(command: Command) -> Command:
        return dataclasses.replace(command, motion=Motion(joints=np.full(7, 4.0)))

    held = changed(trace, lambda c: isinstance(c, Command) and c.source is Source.NONE, beyond)
    assert audit(held).violated("I3") == 1
    names = ("a", "b", "c", "d", "e", "f", "g")
    misnamed = changed(trace, lambda c: isinstance(c, SentJoints), lambda c: dataclasses.replace(c, names=names))
    assert audit(misnamed).violated("I3") == 1


def test_latched_state_left_without_a_request(trace: Trace) -> None:
    silent = [
        (at, c)
        for at, c in trace
        if not (isinstance(c, Happening) and c.moment is Moment.OPERATOR and c.text == "resume")
    ]
    assert audit(silent).violated("I4") == 1


def test_request_recorded_a_moment_after_the_state_it_led_to(trace: Trace) -> None:
    index = next(i for i, (_, c) in enumerate(trace) if isinstance(c, Happening) and c.text == "resume")
    swapped = list(trace)
    moved_event = swapped.pop(index)
    after = next(i for i in range(index, len(swapped)) if isinstance(swapped[i][1], Announced))
    swapped.insert(after + 1, (moved_event[0] + 0.005, moved_event[1]))
    assert audit(swapped, announcement=0.1).ok


def test_state_that_is_not_announced(trace: Trace) -> None:
    quiet = [(at, c) for at, c in trace if not (isinstance(c, Announced) and c.snapshot.state is State.HALTING)]
    assert audit(quiet, announcement=0.1).violated("I7") >= 1


def test_teleop_pose_that_nobody_asked_for(trace: Trace) -> None:
    unasked = [(at, c) for at, c in trace if not isinstance(c, AskedPose)]
    report = audit(unasked)
    assert report.violated("derived") == report.teleop_commands > 0


def test_measured_pose_that_the_arm_never_published(trace: Trace) -> None:
    blind = [(at, c) for at, c in trace if not isinstance(c, SeenPose)]
    report = audit(blind)
    assert report.ok and report.unattested == report.policy_commands + report.teleop_commands


def test_restart_begins_anew(trace: Trace) -> None:
    """A new process starts in UNKNOWN: that HALTED is gone then is nobody's fault."""
    halted = max(i for i, (_, c) in enumerate(trace) if isinstance(c, Announced) and c.snapshot.state is State.HALTED)
    snapshot = dataclasses.replace(trace[halted][1].snapshot, state=State.UNKNOWN)
    after = trace[halted][0] + 1.0
    assert audit([*trace[: halted + 1], (after, Announced(snapshot, b"T" * 16))]).ok
    assert audit([*trace[: halted + 1], (after, Announced(snapshot, b"S" * 16))]).violated("I4") == 1


def test_chunks_are_matched_by_key_and_digest(trace: Trace) -> None:
    def twisted(chunk: Chunk) -> Chunk:
        actions = chunk.actions.copy()
        actions[0, 0] += 0.001
        return dataclasses.replace(chunk, actions=actions)

    report = audit(changed(trace, lambda c: isinstance(c, Chunk), twisted))
    assert report.violated("derived") > 0
