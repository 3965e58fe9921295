"""The node over DDS: the supervisor in a process of its own, everything around it played by the test."""

from __future__ import annotations

import signal
import time
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.ros


def test_an_episode_over_dds(peers: Any, spawn: Any) -> None:
    from std_srvs.srv import SetBool
    from vla_monitor.msg import SupervisorState as State
    from vla_monitor.srv import EndEpisode

    spawn("supervisor_node.node")
    peers.until(State.IDLE)
    started = peers.start()
    assert started.ok and started.episode_id
    peers.until(State.AUTONOMOUS)
    peers.run(1.0)
    assert peers.state == State.AUTONOMOUS and len(peers.targets) > 15
    peers.value = 4.0
    halted = peers.until(State.HALTED)
    assert halted.reason == State.REASON_ALERT and halted.halt_verified and halted.takeover_requested
    first_hold = next(at for at, _ in peers.holds)
    assert first_hold - peers.alarmed_at < 0.1
    assert all(at < first_hold for at, _ in peers.targets), "nothing of the policy after the hold"
    peers.lease = False
    peers.run(0.3)
    peers.lease = True
    peers.run(0.3)
    taken = peers.ros.call(SetBool, "supervisor_node/set_intervention", SetBool.Request(data=True))
    assert taken.success, taken.message
    assert peers.until(State.TELEOP).intervention
    given = peers.ros.call(SetBool, "supervisor_node/set_intervention", SetBool.Request(data=False))
    assert given.success and peers.until(State.HALTED).halt_verified
    peers.lease, peers.value = None, 0.2
    peers.run(0.6)
    resumed = peers.trigger("resume")
    assert resumed.success, resumed.message
    peers.until(State.AUTONOMOUS)
    ended = peers.ros.call(EndEpisode, "supervisor_node/end_episode", EndEpisode.Request(label=1))
    assert ended.ok and peers.until(State.IDLE)
    assert {record.source for record in peers.records} == {0, 1, 2}


@pytest.mark.faults(row=36, tier="R")
def test_halt_is_answered_when_the_arm_rests_and_late_joiners_see_it(peers: Any, spawn: Any) -> None:
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from vla_monitor.msg import SupervisorState as State

    spawn("supervisor_node.node")
    peers.until(State.IDLE)
    assert peers.trigger("halt").success, "at rest already"
    peers.start()
    peers.until(State.AUTONOMOUS)
    asked = time.monotonic()
    answer = peers.trigger("halt")
    assert answer.success and time.monotonic() - asked > 0.15
    assert peers.state == State.HALTED
    late: list[Any] = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    peers.ros.node.create_subscription(State, "supervisor_node/state", late.append, latched)
    peers.ros.spin_until(lambda: late)
    assert late[0].state == State.HALTED


@pytest.mark.faults(row=6, tier="R")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_6_signal_in_mid_episode_holds_before_the_process_ends(peers: Any, spawn: Any, number: int) -> None:
    from vla_monitor.msg import SupervisorState as State

    supervisor = spawn("supervisor_node.node")
    peers.until(State.IDLE)
    peers.start()
    peers.until(State.AUTONOMOUS)
    peers.run(0.5)
    asked = time.monotonic()
    supervisor.interrupt(number)
    supervisor.interrupt(number)
    peers.ros.spin_until(lambda: supervisor.process.poll() is not None, 5.0, "the process to end")
    assert supervisor.process.returncode == 0 and time.monotonic() - asked < 1.5
    assert peers.holds and peers.holds[0][0] > asked
    assert peers.states[-1].state == State.SHUTDOWN


@pytest.mark.faults(row=5, tier="R")
def test_5_killed_supervisor_trips_the_deadman_and_starts_again_unarmed(peers: Any, spawn: Any) -> None:
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from std_msgs.msg import Bool
    from vla_monitor.msg import SupervisorState as State

    tripped: list[bool] = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    peers.ros.node.create_subscription(Bool, "deadman_node/tripped", lambda m: tripped.append(m.data), latched)
    supervisor = spawn("supervisor_node.node")
    spawn("supervisor_node.deadman.node")
    peers.until(State.IDLE)
    peers.ros.spin_until(lambda: tripped, what="the deadman")
    peers.start()
    peers.until(State.AUTONOMOUS)
    peers.run(0.5)
    assert not tripped[-1]
    supervisor.process.kill()
    peers.ros.spin_until(lambda: tripped[-1], 2.0, "the deadman to trip")
    where = peers.plant.q.copy()
    peers.run(0.5)
    assert np.abs(peers.plant.q - where).max() < 0.02, "the arm is at the last target"
    again = spawn("supervisor_node.node")
    peers.states.clear()
    peers.ros.spin_until(lambda: peers.states)
    assert peers.state == State.UNKNOWN
    peers.ros.spin_until(lambda: not tripped[-1], what="the deadman to see the new supervisor")
    peers.until(State.IDLE, 30.0)
    assert again.process.poll() is None


@pytest.mark.faults(row=15, tier="R")
def test_15_second_supervisor_leaves_with_exit_code_3(peers: Any, spawn: Any) -> None:
    from vla_monitor.msg import SupervisorState as State

    spawn("supervisor_node.node")
    peers.until(State.IDLE)
    second = spawn("supervisor_node.node")
    peers.ros.spin_until(lambda: second.process.poll() is not None, 15.0, "the second supervisor to leave")
    assert second.process.returncode == 3


@pytest.mark.faults(row=32, tier="R")
@pytest.mark.faults(row=33, tier="R")
def test_32_33_wrong_parameters(peers: Any, spawn: Any) -> None:
    """A wrong profile leaves the node unconfigured with one line; safety parameters are read-only."""
    from lifecycle_msgs.srv import GetState
    from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
    from rcl_interfaces.srv import SetParameters
    from vla_monitor.msg import SupervisorState as State

    broken = spawn("supervisor_node.node", name="broken", params={"robot": "no_such_arm"})
    answer = peers.ros.call(GetState, "broken/get_state", GetState.Request())
    assert answer.current_state.label == "unconfigured"
    assert "no_such_arm.yaml: no such arm profile" in broken.text()
    broken.stop()
    spawn("supervisor_node.node")
    peers.until(State.IDLE)

    def set_parameter(name: str, **value: Any) -> Any:
        parameter = Parameter(name=name, value=ParameterValue(**value))
        request = SetParameters.Request(parameters=[parameter])
        return peers.ros.call(SetParameters, "supervisor_node/set_parameters", request).results[0]

    assert not set_parameter("joints_timeout", type=ParameterType.PARAMETER_DOUBLE, double_value=9.0).successful
    assert not set_parameter("mode", type=ParameterType.PARAMETER_STRING, string_value="off").successful
    assert set_parameter("mode", type=ParameterType.PARAMETER_STRING, string_value="shadow").successful
    peers.start()
    assert peers.until(State.AUTONOMOUS).mode == State.SHADOW
    refused = set_parameter("mode", type=ParameterType.PARAMETER_STRING, string_value="guard")
    assert not refused.successful and "AUTONOMOUS" in refused.reason


def test_deactivation_halts_first(peers: Any, spawn: Any) -> None:
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState
    from vla_monitor.msg import SupervisorState as State

    spawn("supervisor_node.node")
    peers.until(State.IDLE)
    peers.start()
    peers.until(State.AUTONOMOUS)
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
    assert not peers.ros.call(ChangeState, "supervisor_node/change_state", request).success
    peers.until(State.HALTED)
    assert peers.ros.call(ChangeState, "supervisor_node/change_state", request).success
    assert not peers.trigger("halt").success


def test_enums_are_those_of_the_messages() -> None:
    from vla_monitor.msg import EpisodeEvent, SupervisorState
    from vla_monitor.srv import EndEpisode

    from supervisor_node.states import Label, Mode, Moment, Reason, Risk, Source, State

    for kind, message, prefix in (
        (State, SupervisorState, ""),
        (Reason, SupervisorState, "REASON_"),
        (Mode, SupervisorState, ""),
        (Source, SupervisorState, "SOURCE_"),
        (Risk, SupervisorState, "RISK_"),
        (Moment, EpisodeEvent, ""),
        (Label, EpisodeEvent, ""),
        (Label, EndEpisode.Request, ""),
    ):
        for member in kind:
            assert getattr(message, prefix + member.name) == member.value
