"""What every arm must do, over DDS, before the double of its driver: one contract for all of them.

The supervisor runs in a process of its own with the arm's profile from ``config/arms``; the test plays policy and
monitor, and asks for poses, so that on joint-space arms inverse kinematics is in the way.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from arm_bench import KINDS, ArmBench

from supervisor_node.arms.profile import find_profile

pytestmark = [pytest.mark.ros, pytest.mark.drill]
pytest.importorskip("pink", reason="inverse kinematics is not installed: pip install 'vla_monitor[ik]'")
AUTONOMOUS = 2
SLACK = 0.25
"""Seconds that a loaded machine may be late."""


@pytest.fixture
def bench_of(rig: Any, ros: Any, tmp_path: Path) -> Callable[..., ArmBench]:
    def make(name: str, rest: dict[str, Any] | None = None) -> ArmBench:
        kind = KINDS[name]
        stated = yaml.safe_load(find_profile(kind.profile).read_text(encoding="utf-8"))["rest"]
        changed = dataclasses.replace(kind, changes=kind.changes | {"rest": stated | (rest or {})})
        return ArmBench(changed, rig, ros, tmp_path)

    return make


@pytest.fixture(params=KINDS)
def contract(request: pytest.FixtureRequest, bench_of: Callable[..., ArmBench]) -> ArmBench:
    return bench_of(request.param)


def begin(contract: ArmBench, spawn: Any) -> Any:
    """The supervisor's process, in an episode; the policy wants to go 10 cm aside and close the gripper."""
    supervisor = spawn("supervisor_node.node", params=contract.parameters)
    contract.ros.spin_until(lambda: contract.pose is not None, 20.0, "a pose of the arm")
    contract.goal = contract.grip + [0.0, 0.10, 0.0]
    contract.gripper = 0.0
    contract.start()
    return supervisor


def moving(contract: ArmBench) -> None:
    start = contract.grip.copy()

    def on_its_way() -> bool:
        away = float(np.linalg.norm(contract.grip - start))
        return away > 0.02 and contract.state == AUTONOMOUS and not contract.robot.plant.at_rest

    contract.go_on(on_its_way, "the arm moves")


def halted_by_an_operator(contract: ArmBench) -> Any:
    """A halt of the moving arm that was asked for, and its state once the arm rests."""
    from vla_monitor.msg import SupervisorState as State

    for _ in range(5):
        moving(contract)
        contract.records.clear()
        answer = contract.trigger("halt")
        halted = contract.until(State.HALTED)
        if halted.reason == State.REASON_OPERATOR:
            assert answer.success, answer.message
            return halted
    pytest.fail("it halted for other reasons each time")


def rests(contract: ArmBench) -> bool:
    """The joints stand still, whatever the supervisor says: less than 5 mrad in a third of a second."""
    before = contract.robot.plant.q.copy()
    contract.run(0.3)
    return bool(np.abs(contract.robot.plant.q - before).max() < 0.005)


def commands_on_the_wire(contract: ArmBench) -> list[np.ndarray]:
    """Joint targets as the driver's double received them."""
    found = []
    for message in contract.robot.arm.received:
        if hasattr(message, "points"):
            (point,) = message.points
            assert sorted(message.joint_names) == sorted(contract.profile.joints.names)
            assert message.header.stamp.sec == 0 and not any(point.velocities), "from now, at rest at its end"
            assert 0 < point.time_from_start.nanosec * 1e-9 <= contract.profile.max_ahead
            found.append(np.array(point.positions))
        elif getattr(message, "name", "") == "arm":
            found.append(np.array(message.cmd, float))
        elif hasattr(message, "position"):
            found.append(np.array(message.position))
    return found


def test_the_arm_goes_to_a_target_in_bounded_steps_and_holds_once(contract: ArmBench, spawn: Any) -> None:
    from vla_monitor.msg import SupervisorState as State

    begin(contract, spawn)
    halted = halted_by_an_operator(contract)
    assert halted.halt_verified and rests(contract) and halted.alarm_to_rest < 3.0
    contract.run(0.5)
    holds = [np.array(record.joints) for _, record in contract.records if record.source == State.SOURCE_NONE]
    assert len(holds) > 3 and all(np.array_equal(hold, holds[0]) for hold in holds), "one captured hold, repeated"
    joints = contract.profile.joints
    targets = commands_on_the_wire(contract)
    assert np.allclose(targets[-1], holds[0], atol=1e-6)
    for q in targets:
        assert np.isfinite(q).all() and (q >= joints.lower - 1e-6).all() and (q <= joints.upper + 1e-6).all()
    assert contract.robot.plant.disasters == []
    resumed = contract.trigger("resume")
    assert resumed.success, resumed.message
    contract.go_on(lambda: float(np.linalg.norm(contract.grip - contract.goal)) < 0.01, "it arrives")
    for (_, before), (_, after) in itertools.pairwise(contract.records):
        if before.source == after.source == State.SOURCE_POLICY and len(after.joints):
            step = np.abs(np.array(after.joints) - np.array(before.joints))
            assert (step <= contract.profile.step.joints + 1e-6).all(), "a bounded step"
    assert contract.robot.plant.disasters == []


def test_a_halt_does_not_open_the_gripper(contract: ArmBench, spawn: Any) -> None:
    from vla_monitor.msg import SupervisorState as State

    begin(contract, spawn)
    contract.go_on(lambda: contract.openings() < 0.1 and contract.state == AUTONOMOUS, "the policy closes the gripper")
    contract.value = 4.0
    contract.until(State.HALTED, 30.0)
    contract.gripper = 1.0
    contract.run(1.0)
    assert contract.openings() < 0.1


def test_silence_of_the_supervisor_leaves_the_arm_at_rest(contract: ArmBench, spawn: Any) -> None:
    supervisor = begin(contract, spawn)
    moving(contract)
    supervisor.process.kill()
    killed = time.monotonic()
    contract.run(contract.profile.max_ahead + SLACK)
    where = contract.robot.plant.q.copy()
    assert contract.robot.plant.at_rest, f"{time.monotonic() - killed:.2f} s after the kill"
    contract.run(0.5)
    assert np.abs(contract.robot.plant.q - where).max() < 0.005
    assert contract.robot.plant.disasters == []


def test_a_foreign_publisher_stops_the_arm_and_keeps_it_stopped(contract: ArmBench, spawn: Any) -> None:
    from vla_monitor.msg import SupervisorState as State

    begin(contract, spawn)
    moving(contract)
    (kind,) = {
        k for name, k in contract.ros.node.get_topic_names_and_types() if name == f"/{contract.kind.command}" for k in k
    }
    package, _, name = kind.split("/")
    message = getattr(__import__(f"{package}.msg", fromlist=[name]), name)
    foreign = contract.ros.node.create_publisher(message, contract.kind.command, 10)
    contract.ros.spin_until(lambda: "sole_publisher" in contract.states[-1].failing_guards, 10.0, "the guard")
    contract.until(State.HALTED)
    answer = contract.trigger("resume")
    assert not answer.success and rests(contract)
    contract.ros.node.destroy_publisher(foreign)


# -- what only some arms have --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["franka_jtc", "widowx_jtc"])
def test_foreign_goals_stop_the_arm_and_are_cancelled(bench_of: Any, spawn: Any, name: str) -> None:
    from control_msgs.action import FollowJointTrajectory
    from rclpy.action import ActionClient
    from trajectory_msgs.msg import JointTrajectoryPoint
    from vla_monitor.msg import SupervisorState as State

    contract = bench_of(name)
    begin(contract, spawn)
    moving(contract)
    action = contract.kind.command.replace("joint_trajectory", "follow_joint_trajectory")
    client = ActionClient(contract.ros.node, FollowJointTrajectory, action)
    contract.ros.spin_until(client.server_is_ready, 10.0, "the action")
    goal = FollowJointTrajectory.Goal()
    goal.trajectory.joint_names = list(contract.profile.joints.names)
    goal_at = contract.robot.plant.q + 0.2
    point = JointTrajectoryPoint(positions=goal_at.tolist())
    point.time_from_start.sec = 5
    goal.trajectory.points = [point]
    client.send_goal_async(goal)
    contract.ros.spin_until(lambda: contract.robot.arm.cancels >= 1, 10.0, "the goal to be cancelled")
    contract.until(State.HALTED)
    assert rests(contract) and np.abs(contract.robot.plant.q - goal_at).max() > 0.05
    client.destroy()


def test_a_controller_that_interpolates_from_the_measured_state_is_not_used(bench_of: Any, spawn: Any) -> None:
    contract = bench_of("franka_jtc")
    contract.robot.arm.configure(interpolate_from_desired_state=False)
    spawn("supervisor_node.node", params=contract.parameters)
    contract.ros.spin_until(lambda: contract.states and "adapter" in contract.states[-1].failing_guards, 20.0)
    contract.run(1.5)
    assert contract.state == 0
    contract.robot.arm.configure(interpolate_from_desired_state=True)
    contract.until(1)


@pytest.mark.parametrize("name", ["franka_jtc", "franka_crisp_fr3"])
def test_20_a_reflex_is_a_fault_until_recovery_and_reset(bench_of: Any, spawn: Any, name: str) -> None:
    from vla_monitor.msg import SupervisorState as State

    contract = bench_of(name)
    begin(contract, spawn)
    moving(contract)
    contract.robot.franka.reflex("cartesian_reflex")
    fault = contract.until(State.FAULT)
    assert fault.reason == State.REASON_HARDWARE
    contract.run(0.5)
    assert not contract.trigger("reset").success
    recovered = contract.trigger("recover_robot", 40.0)
    assert recovered.success, recovered.message
    assert contract.state == State.FAULT and contract.robot.franka.recoveries == 1
    contract.ros.spin_until(lambda: "hardware" not in contract.states[-1].failing_guards, 10.0)
    contract.run(0.5)
    reset = contract.trigger("reset")
    assert reset.success, reset.message
    contract.until(State.HALTED)


@pytest.mark.parametrize(
    ("name", "controller"),
    [("widowx_jtc", "arm_controller"), ("franka_crisp_fr3", "cartesian_impedance_controller")],
)
def test_20_a_controller_that_somebody_switched_off_is_a_fault(
    bench_of: Any, spawn: Any, name: str, controller: str
) -> None:
    from vla_monitor.msg import SupervisorState as State

    contract = bench_of(name)
    begin(contract, spawn)
    moving(contract)
    contract.robot.manager.deactivate(controller)
    fault = contract.until(State.FAULT)
    assert fault.reason == State.REASON_HARDWARE and f"{controller} is inactive" in fault.text


def test_crisp_is_brought_to_rest_by_its_joint_controller_where_a_pose_hold_does_not(bench_of: Any, spawn: Any) -> None:
    """Under CRISP's cartesian controller a joint target is the posture of the null space only: an arm that is a step
    away from its hold is taken over by the controller that follows joints, and given back on request.
    """
    from vla_monitor.msg import SupervisorState as State

    contract = bench_of("franka_crisp_fr3", {"tolerance": [0.005] * 7})
    contract.robot.plant.lag = 0.2  # s: the last pose target is some way ahead of the arm
    begin(contract, spawn)
    moving(contract)
    assert contract.trigger("halt").success
    halted = contract.until(State.HALTED)
    active = {name: one.active for name, one in contract.robot.manager.controllers.items()}
    assert active["joint_impedance_controller"] and not active["cartesian_impedance_controller"]
    held = np.array(contract.records[-1][1].joints)
    assert halted.halt_verified and rests(contract) and np.abs(contract.robot.plant.q - held).max() < 0.005
    refused = contract.trigger("resume")
    assert not refused.success and "recover_robot" in refused.message
    recovered = contract.trigger("recover_robot", 40.0)
    assert recovered.success, recovered.message
    contract.run(1.0)
    resumed = contract.trigger("resume")
    assert resumed.success, resumed.message
    assert contract.robot.plant.disasters == []


def test_xs_sets_a_short_profile_at_activation_and_takes_no_torque(bench_of: Any, spawn: Any) -> None:
    contract = bench_of("widowx_xs")
    begin(contract, spawn)
    contract.run(1.0)
    double = contract.robot.arm
    assert double.motors.profile == pytest.approx(0.2) and double.motors.acceleration == pytest.approx(0.05)
    for service in ("torque_enable", "set_operating_modes", "reboot_motors"):
        assert double.answers[service].requests == []
    assert {message.name for message in double.received} == {"arm", "gripper"}


def test_xs_of_another_arm_is_not_used(bench_of: Any, spawn: Any) -> None:
    contract = bench_of("widowx_xs")
    lower, upper = contract.robot.arm.info_limits
    contract.robot.arm.info_limits = (lower, upper - 0.5)
    spawn("supervisor_node.node", params=contract.parameters)
    contract.ros.spin_until(lambda: contract.states and "adapter" in contract.states[-1].failing_guards, 20.0)
    contract.run(1.0)
    assert contract.state == 0
