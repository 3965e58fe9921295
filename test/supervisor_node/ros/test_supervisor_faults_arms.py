"""The fault rows about the robot's driver, against faithful doubles; the numbers are the specification's rows."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arm_bench import KINDS, ArmBench

pytestmark = [pytest.mark.ros, pytest.mark.drill, pytest.mark.timeout(180)]
pytest.importorskip("pink", reason="inverse kinematics is not installed: pip install 'vla_monitor[ik]'")

LADDER = {"repeat": 0.5, "switch": 1.0, "fault": 2.0, "lost": 1.0}
GRIP = -150.0
"""PWM that keeps a grip, in the WidowX's profile."""
HOLD = {"hold_controller": "fr3_hold_controller", "escalation": LADDER}


@pytest.fixture
def driven(
    rig: Any, ros: Any, spawn: Any, tmp_path: Path, record_property: Callable[[str, object], None]
) -> Iterator[Callable[..., ArmBench]]:
    """``driven("franka_jtc")``: that arm's double, its supervisor, and the policy moving it."""
    made: list[ArmBench] = []

    def make(name: str, changes: dict[str, Any] | None = None, start: bool = True) -> ArmBench:
        kind = dataclasses.replace(KINDS[name], changes=KINDS[name].changes | (changes or {}))
        bench = ArmBench(kind, rig, ros, tmp_path)
        made.append(bench)
        bench.supervisor = spawn("supervisor_node.node", params=bench.parameters)  # type: ignore[attr-defined]
        if start:
            ros.spin_until(lambda: bench.pose is not None, 20.0, "a pose of the arm")
            bench.goal = bench.grip + [0.0, 0.10, 0.0]
            bench.start()
            bench.run(5.0, lambda: not bench.robot.plant.at_rest)
        return bench

    yield make
    for bench in made:
        times = [state.alarm_to_rest for state in bench.states if math.isfinite(state.alarm_to_rest)]
        if times:
            record_property("alarm_to_rest_ms", 1000 * max(times))


def row(number: int) -> Any:
    return pytest.mark.faults(row=number, tier="L")


@row(19)
def test_19_late_silent_and_returning_driver(driven: Callable[..., ArmBench]) -> None:
    from vla_monitor.msg import SupervisorState as State

    bench = driven("widowx_xs", start=False)
    bench.robot.states.silent = True
    bench.run(3.0)
    assert bench.state == State.UNKNOWN and not bench.robot.arm.received, "nothing is sent to a robot that is not seen"
    bench.robot.states.silent = False
    bench.ros.spin_until(lambda: bench.pose is not None, 20.0, "a pose of the arm")
    bench.start()
    bench.robot.states.silent = True
    assert bench.until(State.FAULT).reason == State.REASON_ROBOT_STALE
    bench.robot.states.silent = False
    bench.run(1.0)
    assert bench.state == State.FAULT
    assert bench.trigger("reset").success and bench.state == State.HALTED


TROUBLES = {
    "controller": (lambda robot: robot.manager.deactivate("fr3_arm_controller"), "fr3_arm_controller is inactive"),
    "reflex": (lambda robot: robot.franka.reflex(), "REFLEX"),
    "user stop": (lambda robot: robot.franka.user_stop(), "USER_STOPPED"),
}


@row(20)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_20_trouble_of_the_robot_is_a_fault_with_its_name(driven: Callable[..., ArmBench], trouble: str) -> None:
    from vla_monitor.msg import SupervisorState as State

    bench = driven("franka_jtc")
    cause, text = TROUBLES[trouble]
    cause(bench.robot)
    fault = bench.until(State.FAULT)
    assert fault.reason == State.REASON_HARDWARE and fault.takeover_requested
    bench.ros.spin_until(lambda: text in bench.states[-1].text or trouble == "reflex", 5.0, text)
    assert "hardware" in bench.states[-1].failing_guards
    answer = bench.trigger("reset")
    assert not answer.success and answer.message.startswith("hardware: ")
    if trouble == "user stop":
        bench.robot.franka.release()
    recovered = bench.trigger("recover_robot", 40.0)
    assert recovered.success, recovered.message
    bench.run(1.0)
    assert bench.state == State.FAULT, "an operator resets, nobody else"
    reset = bench.trigger("reset")
    assert reset.success, reset.message
    assert bench.state == State.HALTED and not bench.robot.plant.disasters


@row(21)
def test_21_recovery_that_fails_is_answered_no(driven: Callable[..., ArmBench]) -> None:
    from vla_monitor.msg import SupervisorState as State

    bench = driven("franka_jtc")
    bench.robot.franka.recovery_fails = True
    bench.robot.franka.reflex()
    bench.until(State.FAULT)
    answer = bench.trigger("recover_robot", 40.0)
    assert not answer.success and answer.message and bench.state == State.FAULT


@row(21)
@row(22)
@pytest.mark.parametrize("answers", [False, True])
def test_22_ignored_halt_climbs_the_ladder_whatever_services_answer(
    driven: Callable[..., ArmBench], answers: bool
) -> None:
    """The third step is asked for once and waits for nobody: an answer that never comes delays no fourth."""
    from vla_monitor.msg import SupervisorState as State

    bench = driven("franka_jtc", HOLD, start=False)
    robot = bench.robot
    switched: list[bool] = []
    claims = robot.manager.controllers["fr3_arm_controller"].claims
    robot.manager.add(HOLD["hold_controller"], "hold", claims=claims, active=False, on_change=switched.append)
    bench.ros.spin_until(lambda: bench.pose is not None, 20.0, "a pose of the arm")
    bench.goal = bench.grip + [0.0, 0.10, 0.0]
    bench.start()
    bench.run(2.0, lambda: not robot.plant.at_rest)
    if not answers:
        robot.manager.answers["switch_controller"].delay = math.inf
    robot.plant.run_away()
    asked = time.monotonic()
    answer = bench.trigger("halt")
    assert not answer.success and "press the user stop" in answer.message
    assert 1.9 < time.monotonic() - asked < 3.0
    fault = bench.until(State.FAULT)
    assert fault.reason == State.REASON_HALT_UNVERIFIED
    assert len(robot.manager.answers["switch_controller"].requests) == 1
    (request,) = robot.manager.answers["switch_controller"].requests
    assert request.strictness == 2 and request.deactivate_controllers == ["fr3_arm_controller"]
    assert switched == [True]
    robot.plant.obey()
    robot.manager.answers["switch_controller"].delay = 0
    bench.run(1.0)
    refused = bench.trigger("reset")
    assert not refused.success and "recover_robot" in refused.message
    recovered = bench.trigger("recover_robot", 40.0)
    assert recovered.success and switched == [True, False], recovered.message
    bench.run(1.0)
    reset = bench.trigger("reset")
    assert reset.success, reset.message


@row(23)
def test_23_sag_under_the_hold_does_not_ratchet_and_drift_is_a_fault(driven: Callable[..., ArmBench]) -> None:
    from vla_monitor.msg import SupervisorState as State

    bench = driven("widowx_xs")
    assert bench.trigger("halt").success
    bench.until(State.HALTED)
    held = np.array(bench.records[-1][1].joints)
    bench.robot.plant.sagging = 0.05
    fault = bench.until(State.FAULT, 5.0)
    assert fault.reason == State.REASON_HALT_UNVERIFIED and "hold" in fault.text
    bench.run(0.5)
    assert np.array_equal(np.array(bench.records[-1][1].joints), held), "the hold was captured once"
    assert bench.robot.plant.disasters == []


@pytest.mark.faults(row=5, tier="R")
@pytest.mark.parametrize("name", ["franka_jtc", "widowx_xs"])
def test_5_deadman_holds_an_arm_of_joint_targets(driven: Callable[..., ArmBench], spawn: Any, name: str) -> None:
    """Its publisher is expected beside the supervisor's, and sends nothing while the supervisor speaks."""
    from std_msgs.msg import Bool

    bench = driven(name, start=False)
    deadman = spawn("supervisor_node.deadman.node", params={"robot": str(bench.profile_file)})
    tripped: list[bool] = []
    bench.ros.node.create_subscription(Bool, "deadman_node/tripped", lambda m: tripped.append(m.data), 10)
    bench.ros.spin_until(lambda: bench.pose is not None and tripped, 20.0, "the arm and the deadman")
    bench.goal = bench.grip + [0.0, 0.10, 0.0]
    bench.start()
    bench.run(2.0, lambda: not bench.robot.plant.at_rest)
    assert deadman.process.poll() is None and not tripped[-1]
    sent = len(bench.robot.arm.received)
    bench.run(0.3)
    assert len(bench.robot.arm.received) > sent, "the policy still moves it: the deadman's publisher is expected"
    bench.supervisor.process.kill()  # type: ignore[attr-defined]
    bench.ros.spin_until(lambda: tripped[-1], 5.0, "the deadman to trip")
    bench.run(0.5)
    of_arm = [one for one in bench.robot.arm.received if getattr(one, "name", "arm") == "arm"]
    last = of_arm[-1]
    held = np.array(last.points[0].positions if hasattr(last, "points") else last.cmd)
    assert np.allclose(held, np.array(bench.records[-1][1].joints), atol=1e-6), "where it was last sent"
    assert bench.robot.plant.at_rest and bench.robot.plant.disasters == []


@pytest.mark.faults(row=5, tier="R")
@pytest.mark.parametrize(("wanted", "lasting"), [(0.0, GRIP), (1.0, 0.0)])
def test_5_deadman_ends_what_the_grippers_motor_would_go_on_with(
    driven: Callable[..., ArmBench], spawn: Any, wanted: float, lasting: float
) -> None:
    """xs_sdk keeps a PWM for ever: a closing gripper keeps its grip with less, an opening one stops."""
    bench = driven("widowx_xs", start=False)
    spawn("supervisor_node.deadman.node", params={"robot": str(bench.profile_file)})
    gripper = bench.robot.arm.motors.gripper
    bench.ros.spin_until(lambda: bench.pose is not None, 20.0, "the arm")
    bench.ros.spin_until(
        lambda: bench.ros.node.count_publishers("wx250s/commands/joint_single") == 2, 20.0, "supervisor and deadman"
    )
    bench.run(3.0)  # until the deadman hears the supervisor
    bench.goal, bench.gripper = bench.grip + [0.0, 0.20, 0.0], 0.0
    bench.start()
    if wanted:
        bench.go_on(lambda: gripper.pwm == GRIP, "the gripper is closed")
        bench.gripper = wanted
    full = 250.0 if wanted else -250.0
    bench.go_on(lambda: gripper.pwm == full, "the motor runs")
    bench.supervisor.process.kill()  # type: ignore[attr-defined]
    bench.run(1.0)
    assert gripper.pwm == lasting and bench.robot.plant.at_rest
