"""The fault rows about a driver that fails and a stop that fails: errors, services, ladder, sag."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from supervisor_node.arms import open_arm
from supervisor_node.arms.crisp import CrispArm
from supervisor_node.states import Reason, State
from supervisor_node.values import Wish

S = State


def row(number: int) -> Any:
    return pytest.mark.faults(row=number, tier="U")


@pytest.fixture
def switching(new_bench: Any) -> Any:
    """A bench whose arm has a hold controller, or not."""

    def make(controller: str) -> Any:
        return new_bench(
            arm=CrispArm(dataclasses.replace(open_arm("franka_crisp_sim").profile, hold_controller=controller))
        )

    return make


@row(20)
@pytest.mark.parametrize("moving", [S.AUTONOMOUS, S.TELEOP, S.HALTED])
def test_20_driver_error_is_a_fault_until_recovered_and_reset(bench: Any, moving: State) -> None:
    bench.to(moving)
    out = bench.step(hardware="robot_mode REFLEX")
    assert out.state.state is S.FAULT and out.state.reason is Reason.HARDWARE and "REFLEX" in out.state.text
    reset = bench.ask(Wish.RESET)
    assert not bench.replies[reset].ok and "hardware: robot_mode REFLEX" in bench.replies[reset].message
    asked = bench.ask(Wish.RECOVER)
    assert bench.outputs[-1].recover and asked not in bench.replies, "an answer is true: it waits for the driver"
    bench.step(recovered="", hardware="")
    assert bench.replies[asked].ok and bench.state is S.FAULT
    bench.advance(0.3)
    assert bench.replies[bench.ask(Wish.RESET)].ok and bench.state is S.HALTED


# -- 21: services ----------------------------------------------------------------------------------------------------
@row(21)
def test_21_reset_that_is_never_answered(bench: Any) -> None:
    bench.to(S.IDLE)
    bench.policy = False
    for _ in range(40):
        bench.step(policy=bench.info)
        if bench.state is S.IDLE:
            bench.ask(Wish.START)
        bench.advance(0.1)
    assert bench.state is S.HALTED and bench.shown.reason is Reason.RESUME_TIMEOUT
    assert "reset_policy" in bench.shown.text


@row(21)
@pytest.mark.parametrize("answer", [None, "error_recovery: rejected"])
def test_21_recovery_that_fails_or_is_never_answered(bench: Any, answer: str | None) -> None:
    bench.to(S.FAULT)
    asked = bench.ask(Wish.RECOVER)
    again = bench.ask(Wish.RECOVER)
    assert bench.replies[again].message == "a recovery is under way"
    if answer is not None:
        bench.step(recovered=answer)
    bench.advance(36.0)
    assert not bench.replies[asked].ok and (answer or "not answered within 35 s") in bench.replies[asked].message
    bench.step(recovered="")
    assert bench.state is S.FAULT and not bench.replies[asked].ok, "a late answer counts for nothing"


# -- 22, 23: the arm does not obey -----------------------------------------------------------------------------------
@row(22)
def test_22_ignored_halt_climbs_the_ladder(switching: Any) -> None:
    bench = switching("hold")
    bench.to(S.AUTONOMOUS)
    bench.plant.runaway, first = 0.1, len(bench.outputs)
    asked, at = bench.ask(Wish.HALT), bench.now
    steps: dict[str, float] = {}
    while bench.state is S.HALTING:
        bench._moment()
        for out in bench.outputs[first:]:
            for name in ("cancel", "switch_to"):
                if getattr(out, name):
                    steps.setdefault(name, bench.now - at)
        first = len(bench.outputs)
    assert bench.state is S.FAULT and bench.shown.reason is Reason.HALT_UNVERIFIED
    assert steps == pytest.approx({"cancel": 0.5, "switch_to": 1.0}, abs=0.06) and bench.now - at <= 2.05
    assert not bench.replies[asked].ok and "fr3_joint1" in bench.replies[asked].message
    assert "press the user stop" in bench.shown.text
    assert sum(bool(out.switch_to) for out in bench.outputs) == 1, "one switch, no more"


@row(22)
def test_22_without_a_hold_controller_the_user_stop_is_asked_for_after_a_second(switching: Any) -> None:
    bench = switching("")
    bench.to(S.AUTONOMOUS)
    bench.plant.runaway = 0.02  # it creeps: slowly, and without an end
    bench.ask(Wish.HALT)
    at = bench.now
    bench.until(S.FAULT)
    assert (
        1.0 <= bench.now - at <= 1.05 and "press the user stop: not at rest after 1 s: fr3_joint1" in bench.shown.text
    )


@row(22)
def test_22_after_the_switch_nothing_moves_the_arm_before_it_is_given_back(switching: Any) -> None:
    bench = switching("hold")
    bench.to(S.AUTONOMOUS)
    bench.plant.runaway = 0.1
    bench.ask(Wish.HALT)
    bench.advance(1.05)
    bench.plant.runaway = 0.0
    held = "controller: hold holds the arm: call recover_robot"
    bench.step(adapter=held)  # as the driver sees it
    bench.until(S.HALTED)
    bench.advance(0.6)
    bench.hold_device()
    for wish in (Wish.RESUME, Wish.TAKE):
        assert bench.replies[bench.ask(wish)].message == f"adapter: {held}"
    bench.ask(Wish.RECOVER)
    bench.step(recovered="", adapter="")
    assert bench.replies[bench.ask(Wish.TAKE)].ok


@row(23)
def test_23_sag_under_the_hold_keeps_the_hold_and_drift_is_a_fault(bench: Any) -> None:
    bench.to(S.HALTED)
    held = bench.commands[-1][1].motion.joints
    bench.plant.sag = 0.02
    bench.advance(1.0)
    assert bench.state is S.HALTED and np.array_equal(bench.commands[-1][1].motion.joints, held), "no ratchet"
    bench.plant.sag = 0.05
    out = bench.until(S.FAULT)
    assert out.state.reason is Reason.HALT_UNVERIFIED and "fr3_joint2" in out.state.text and "hold" in out.state.text
    assert np.array_equal(bench.commands[-1][1].motion.joints, held)
