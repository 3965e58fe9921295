"""Commissioning on a fake clock and a small arm: what moves, how far, and what is measured of it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from commissioning_lab import ARM, SHORT, Lab, arm_of
from hypothesis import given, settings
from hypothesis import strategies as st
from supervised_plant import HOME

from supervisor_node.arms import open_arm
from supervisor_node.commissioning.course import Course, Sweep, inside, plan, top_speed
from supervisor_node.commissioning.figures import rest_after, spans
from supervisor_node.commissioning.procedure import Act
from supervisor_node.states import Source
from supervisor_node.values import Measured, Pose
from vla_uq.errors import InputError


@pytest.fixture(scope="module")
def lab() -> Lab:
    done = Lab(arm_of())
    done.run()
    return done


# -- what moves ----------------------------------------------------------------------------------------------------
@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6), st.sampled_from([(0.1, 0.4), (0.3,)]))
def test_every_sweep_stays_inside_limits_and_workspace(shares: list[float], fractions: tuple[float, ...]) -> None:
    pytest.importorskip("pink")
    arm, course = open_arm("widowx_xs_sim"), Course(fractions=fractions)
    joints = arm.profile.joints
    q = joints.lower + np.array(shares) * (joints.upper - joints.lower)
    pose = arm.pose(q)
    assert pose is not None
    try:
        sweeps = plan(arm, Measured(q, np.zeros(6), pose), course)
    except InputError:
        return  # no room from here, and nothing moves
    for sweep in sweeps:
        for share in np.linspace(0, 1, 7):
            there = q.copy()
            there[sweep.axis] += sweep.way * share * sweep.travel
            assert (there > joints.lower).all() and (there < joints.upper).all()
            reached = arm.pose(there)
            assert reached is not None and inside(arm.profile, reached.position, 0.0)
    speeds = [sweep.speed for sweep in sweeps if (sweep.axis, sweep.silent) == (0, False)]
    assert speeds[: len(fractions)] == sorted(speeds[: len(fractions)])
    assert all(sweep.speed <= 0.4 * top_speed(arm.profile)[sweep.axis] + 1e-9 for sweep in sweeps)


@given(st.floats(0.05, 2.0), st.floats(0.5, 10.0), st.floats(0.01, 1.0), st.floats(0.001, 0.2), st.floats(0.0, 5.0))
def test_a_sweep_rises_and_never_overshoots(speed: float, gain: float, travel: float, dt: float, t: float) -> None:
    sweep = Sweep(0, 1.0, speed, gain, travel)
    assert 0 <= sweep.along(t) <= sweep.along(t + dt) <= travel
    assert sweep.along(t + dt) - sweep.along(t) <= speed * dt + 1e-9
    assert sweep.along(travel / speed + speed / gain) == pytest.approx(travel), "it arrives"


def test_an_arm_without_room_is_named() -> None:
    def refused(q: np.ndarray, position: np.ndarray) -> str:
        with pytest.raises(InputError) as caught:
            plan(arm_of(), Measured(q, np.zeros(7), Pose(position, np.eye(3))), SHORT)
        return str(caught.value)

    centre = np.array([0.0, 0.0, 0.3])
    at_limit = HOME.copy()
    at_limit[3] = ARM.profile.joints.upper[3] - 0.01
    assert "fr3_joint4" in refused(at_limit, centre)
    assert "workspace" in refused(HOME, np.array([0.0, 0.0, -0.5]))
    narrow = dataclasses.replace(ARM.profile.joints, lower=HOME - 0.1, upper=HOME + 0.1)
    with pytest.raises(InputError, match=r"fr3_joint1.*room"):
        plan(arm_of(joints=narrow), Measured(HOME, np.zeros(7), Pose(centre, np.eye(3))), SHORT)


def test_commands_are_finite_inside_limits_and_stepped(lab: Lab) -> None:
    joints, step = ARM.profile.joints, ARM.profile.step
    moving = [a.command for a in lab.acts if a.command is not None and a.command.source is Source.TELEOP]
    assert len(moving) > 100
    before: np.ndarray | None = None
    for act in lab.acts:
        sent = act.command
        q = None if sent is None else sent.motion.joints
        if q is not None:
            assert np.isfinite(q).all() and (q >= joints.lower).all() and (q <= joints.upper).all()
        if q is not None and before is not None and sent is not None and sent.source is Source.TELEOP:
            assert (np.abs(q - before) <= step.joints + 1e-9).all()
        before = q if sent is not None and sent.source is Source.TELEOP else None
    for command in moving:
        if command.motion.pose is not None:
            assert inside(ARM.profile, command.motion.pose.position, 0.0)


def test_nothing_but_the_hold_is_sent_until_somebody_agrees() -> None:
    lab = Lab(arm_of())
    lab.confirm = False
    lab.run(ticks=200)
    assert all(act.ask.startswith("1 of 4") for act in lab.acts)
    sent = [act.command for act in lab.acts]
    assert all(each is not None and each.source is Source.NONE for each in sent)
    assert all(np.array_equal(np.asarray(each.motion.joints), HOME) for each in sent if each is not None)


def test_every_stage_is_announced_and_silences_send_nothing(lab: Lab) -> None:
    asked = list(dict.fromkeys(act.ask.split(":")[0].strip() for act in lab.acts if act.ask))
    assert asked[:3] == ["1 of 4", "2 of 4", "3 of 4"] and asked[-1] == "4 of 4"
    silent = sum(act.command is None for act in lab.acts)
    silences = [stop for stop in lab.procedure.evidence.stops if stop.sweep.silent]
    escalation, period = ARM.profile.escalation, ARM.profile.period
    assert silences and silent == pytest.approx(len(silences) * escalation.fault / period, abs=2 * len(silences))
    assert np.allclose(lab.plant.q, HOME, atol=0.01), "it ends where it began"


def test_the_edge_of_the_workspace_is_not_crossed_and_not_tried_faster() -> None:
    box = dataclasses.replace(ARM.profile.workspace, upper=np.array([0.12, 0.55, 0.70]))
    lab = Lab(arm_of(workspace=box))
    evidence = lab.run()
    assert [(each.axis, each.way, each.line) for each in evidence.skipped] == [(0, 1.0, False)]
    assert not [stop for stop in evidence.stops if stop.sweep.way > 0 and stop.sweep.axis == 0 and not stop.sweep.line]
    assert evidence.fastest(0), "the other way is enough"


def test_an_arm_that_does_not_come_to_rest_ends_the_tests() -> None:
    lab = Lab(arm_of())
    lab.spoil = lambda act: setattr(lab.plant, "runaway", 0.05 if act.tell.startswith("2/") else lab.plant.runaway)
    with pytest.raises(InputError, match="does not come to rest"):
        lab.run()
    hold = lab.procedure.hold()
    assert hold.source is Source.NONE and hold.motion.joints is not None


def test_a_sweep_in_which_the_computer_was_late_is_repeated() -> None:
    lab = Lab(arm_of())

    told: list[str] = []

    def hiccup(act: Act) -> None:
        told.extend([act.tell] if act.tell else [])
        stops = act.command is not None and act.command.source is Source.NONE
        if stops and len(told) == 2 and not any("again" in text for text in told):
            lab.pass_time(0.2)
            lab.samples = lab.samples[-1:]  # nothing was heard meanwhile

    lab.spoil = hiccup
    evidence = lab.run()
    again = [text for text in told if "again" in text]
    assert len(again) == 1 and again[0].startswith("2/34") and "ms late" in again[0]
    assert len(evidence.fastest(0)) == 2, "the late one does not count"


# -- figures -------------------------------------------------------------------------------------------------------
def test_rest_is_the_beginning_of_the_first_still_window() -> None:
    samples = [(0.01 * i, np.array([min(0.01 * i, 0.3)])) for i in range(100)]
    noise = np.array([1e-3])
    assert rest_after(samples, 0.1, 0.2, noise) == pytest.approx(0.2, abs=0.011)
    assert math.isnan(rest_after(samples[:40], 0.1, 0.2, noise)), "the window is not covered"
    assert len(spans(samples, 0.2)) == 80 and spans([], 0.2) == []
    assert spans(samples, 0.2)[0][1] == pytest.approx(0.2)
