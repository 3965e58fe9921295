"""Fault rows over DDS with the supervisor's node in this process (L), or in one of its own (R); numbers are rows."""

from __future__ import annotations

import dataclasses
import itertools
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.drill]


def row(number: int, tier: str = "L") -> Any:
    return pytest.mark.faults(row=number, tier=tier)


@pytest.fixture
def inside(peers: Any) -> Iterator[Any]:
    """The supervisor's node, spun by the test, with the policy moving the arm."""
    from rclpy.parameter import Parameter
    from vla_monitor.msg import SupervisorState as State

    from supervisor_node.node import SupervisorNode

    # Arm, policy, monitor and supervisor share one thread here, which may be late on a busy machine.
    slack = [Parameter("joints_timeout", value=0.6), Parameter("heartbeat_timeout", value=1.5)]
    node = SupervisorNode(context=peers.ros.node.context, parameter_overrides=slack)
    peers.ros.executor.add_node(node)
    node.autostart()
    peers.until(State.IDLE)
    peers.start()
    peers.until(State.AUTONOMOUS)
    peers.run(0.3)
    yield node
    peers.ros.executor.remove_node(node)
    node.destroy_node()


@row(9)
@pytest.mark.parametrize("field", ["nonconformity", "threshold", "actions", "gripper", "joints", "pose"])
def test_9_nan_on_the_wire_halts(peers: Any, inside: Any, chunk_of: Any, score_of: Any, field: str) -> None:
    from sensor_msgs.msg import JointState
    from vla_monitor.msg import SupervisorState as State

    if field in ("nonconformity", "threshold"):
        peers.bend_score = lambda score: dataclasses.replace(score, **{field: math.nan})
    elif field in ("actions", "gripper"):
        peers.bend_chunk = lambda chunk: dataclasses.replace(
            chunk, **{field: getattr(chunk, field) * np.float32(np.nan)}
        )
    elif field == "joints":
        names = [*(f"fr3_joint{i}" for i in range(1, 8)), "fr3_finger_joint1", "fr3_finger_joint2"]
        peers._joints.publish(JointState(name=names, position=[math.nan] * 9))
    else:
        message = peers._grip(peers.ros.node.get_clock().now().to_msg())
        message.pose.position.x = math.nan
        peers._pose.publish(message)
    reasons = {"actions": State.REASON_BAD_CHUNK, "gripper": State.REASON_BAD_CHUNK}
    reasons |= {"joints": State.REASON_ROBOT_STALE, "pose": State.REASON_ROBOT_STALE}
    peers.ros.spin_until(lambda: peers.state in (State.HALTING, State.HALTED), 5.0, "a halt")
    assert peers.states[-1].reason == reasons.get(field, State.REASON_BAD_SCORE), peers.states[-1].text
    assert all(np.isfinite(hold.position).all() for _, hold in peers.holds)


@row(16)
def test_16_silence_of_everybody_and_then_all_of_it_again(peers: Any, inside: Any) -> None:
    from vla_monitor.msg import SupervisorState as State

    peers.robot = peers.policy = peers.monitor = False
    peers.until(State.FAULT)
    sent = len(peers.targets)
    peers.robot = peers.policy = peers.monitor = True
    peers.run(1.0)
    assert peers.state == State.FAULT and len(peers.targets) == sent
    assert peers.trigger("reset").success and peers.state == State.HALTED


@row(21)
def test_21_policy_that_answers_its_reset_too_late(peers: Any, inside: Any) -> None:
    from vla_monitor.msg import SupervisorState as State

    peers.trigger("halt")
    peers.run(0.6)
    late: list[Any] = []
    inside._reset.call = late.append
    answer = peers.trigger("resume")
    assert not answer.success and "reset_policy" in answer.message
    assert peers.state == State.HALTED and peers.states[-1].reason == State.REASON_RESUME_TIMEOUT
    from supervisor_node.values import ResetAck

    inside._step(reset_ack=ResetAck(True, "", bytes(range(16)), peers.sequence))
    peers.run(0.5)
    assert peers.state == State.HALTED and late, "an answer after the end of the wait counts for nothing"


@row(22)
def test_22_halt_that_the_arm_ignores_is_answered_no(peers: Any, inside: Any) -> None:
    from vla_monitor.msg import SupervisorState as State

    peers.plant.runaway = 0.1
    answer = peers.trigger("halt")
    assert not answer.success and "press the user stop" in answer.message
    assert peers.until(State.FAULT).reason == State.REASON_HALT_UNVERIFIED


@row(27)
def test_27_device_that_falls_silent(peers: Any, inside: Any) -> None:
    from std_srvs.srv import SetBool
    from vla_monitor.msg import SupervisorState as State

    peers.trigger("halt")
    peers.lease = False
    peers.run(0.3)
    peers.lease = True
    peers.run(0.3)
    taken = peers.ros.call(SetBool, "supervisor_node/set_intervention", SetBool.Request(data=True))
    assert taken.success, taken.message
    peers.run(0.3)
    peers.lease, silent = None, time.monotonic()
    peers.ros.spin_until(lambda: peers.state in (State.HALTING, State.HALTED), 2.0, "a halt")
    assert time.monotonic() - silent < 0.5 and peers.states[-1].reason == State.REASON_LEASE_LOST
    sent = len(peers.targets)
    peers.hand()
    peers.run(0.3)
    assert len(peers.targets) == sent, "commands without a lease move nothing"


@row(30)
def test_30_chunk_of_before_the_resume(peers: Any, inside: Any, chunk_of: Any, score_of: Any) -> None:
    from vla_monitor.msg import ActionChunk, DetectorScore, FailureScore
    from vla_monitor.msg import SupervisorState as State

    from vla_uq.contracts import Key

    stale = chunk_of(Key(bytes(range(16)), peers.sequence + 1, peers.episode, peers.step + 1), observation_age=0.001)
    peers.trigger("halt")
    peers.sequence += 5
    peers.run(0.6)
    assert peers.trigger("resume").success
    peers._chunk.publish(stale.fill(ActionChunk()))
    peers._score.publish(score_of(stale).fill(FailureScore(), DetectorScore))
    peers.run(0.5)
    assert peers.state == State.AUTONOMOUS
    assert all(record.key.sequence != stale.key.sequence for record in peers.records)


@row(34)
def test_34_burst_of_a_thousand_messages_a_second(peers: Any, inside: Any) -> None:
    """The queues keep the newest message only, so that a burst costs time, but no backlog."""
    from vla_monitor.msg import FailureScore
    from vla_monitor.msg import SupervisorState as State

    start = time.monotonic()
    sent = 0
    while time.monotonic() - start < 2.0:
        peers._score.publish(FailureScore())  # of nobody's session
        sent += 1
        peers.ros.executor.spin_once(timeout_sec=0)
    peers.run(0.5)
    assert peers.state in (State.AUTONOMOUS, State.HALTED), peers.states[-1].text
    if peers.state == State.HALTED:
        assert peers.states[-1].text, "or it says who could not keep up"
    times = [at for at, _ in peers.targets if start < at < start + 2.0]
    late = max((b - a for a, b in itertools.pairwise(times)), default=0.0)
    print(f"{sent} messages in 2 s, largest gap between commands {late:.3f} s")


@row(34, "R")
def test_34_busy_machine_halts_or_keeps_its_pace(peers: Any, spawn: Any) -> None:
    from vla_monitor.msg import SupervisorState as State

    spawn("supervisor_node.node")
    peers.until(State.IDLE)
    peers.start()
    peers.until(State.AUTONOMOUS)
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        peers.run(2.0)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    if peers.state == State.AUTONOMOUS:
        assert peers.trigger("halt").success
    else:
        peers.ros.spin_until(lambda: peers.state in (State.HALTED, State.FAULT), 5.0, "the end of the halt")
        assert peers.states[-1].text, "it says what was late"


@row(18, "R")
def test_18_publisher_that_cannot_be_heard(peers: Any, spawn: Any) -> None:
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from vla_monitor.msg import ActionChunk
    from vla_monitor.msg import SupervisorState as State

    spawn("supervisor_node.node")
    peers.until(State.IDLE)
    weak = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    rogue = peers.ros.node.create_publisher(ActionChunk, "policy_node/chunk", weak)
    peers.ros.spin_until(lambda: "quality_of_service" in peers.states[-1].failing_guards, 10.0, "the guard")
    answer = peers.start()
    assert not answer.ok and "policy_node/chunk of test_node: reliability: expected RELIABLE" in answer.message
    peers.ros.node.destroy_publisher(rogue)
    peers.ros.spin_until(lambda: not peers.states[-1].failing_guards, 30.0, "the guard to hold")
    assert peers.start().ok


@row(19, "R")
def test_19_robot_that_comes_last(peers: Any, spawn: Any) -> None:
    from vla_monitor.msg import SupervisorState as State

    peers.robot = False
    spawn("supervisor_node.node")
    peers.ros.spin_until(lambda: peers.states, 10.0, "the supervisor")
    peers.run(1.0)
    assert peers.state == State.UNKNOWN and "joint_states" in peers.states[-1].failing_guards
    peers.robot = True
    peers.until(State.IDLE)
    peers.start()
    peers.until(State.AUTONOMOUS)


@row(5, "R")
def test_5_deadman_switches_to_the_hold_and_an_operator_gives_the_arm_back(peers: Any, spawn: Any) -> None:
    """On an arm behind CRISP's topics a second publisher would freeze it: the hold controller is what stops it."""
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from std_msgs.msg import Bool
    from std_srvs.srv import SetBool
    from vla_monitor.msg import SupervisorState as State

    held = peers.ros.node.create_publisher(
        Bool, "sim_node/hold/active", QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    )
    switched: list[tuple[float, bool]] = []

    def on_hold(request: Any, response: Any) -> Any:
        switched.append((time.monotonic(), request.data))
        peers.plant.target = peers.plant.q.copy()
        held.publish(Bool(data=request.data))
        response.success = True
        return response

    peers.ros.node.create_service(SetBool, "sim_node/hold", on_hold)
    tripped: list[bool] = []
    peers.ros.node.create_subscription(Bool, "deadman_node/tripped", lambda m: tripped.append(m.data), 10)
    spawn("supervisor_node.deadman.node")
    supervisor = spawn("supervisor_node.node")
    peers.until(State.IDLE)
    peers.ros.spin_until(lambda: tripped, what="the deadman")
    peers.start()
    peers.until(State.AUTONOMOUS)
    peers.run(0.5)
    assert not switched
    supervisor.process.kill()
    killed = time.monotonic()
    peers.ros.spin_until(lambda: switched, 5.0, "the switch")
    assert switched[0][1] and switched[0][0] - killed < 0.5
    peers.run(0.5)
    assert len(switched) == 1, "once"
    spawn("supervisor_node.node")
    peers.states.clear()
    peers.ros.spin_until(lambda: peers.states and "hardware" in peers.states[-1].failing_guards, 20.0, "the guard")
    assert peers.state == State.UNKNOWN
    recovered = peers.trigger("recover_robot")
    assert recovered.success, recovered.message
    assert switched[-1][1] is False
    peers.ros.spin_until(lambda: "hardware" not in peers.states[-1].failing_guards, 5.0, "the guard to hold")
    assert peers.state in (State.UNKNOWN, State.IDLE), "nothing is armed by this"
