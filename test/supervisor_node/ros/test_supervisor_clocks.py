"""Clocks and stopped processes, over DDS: what decides is steady, and what stood still does not go on moving."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest

pytestmark = pytest.mark.ros


@pytest.mark.faults(row=14, tier="R")
def test_14_ros_time_may_stand_still_but_not_run_back(peers: Any, spawn: Any) -> None:
    """A frozen /clock stops no safety timer; one that jumps back halts, and the process survives the jump."""
    from rosgraph_msgs.msg import Clock
    from vla_monitor.msg import SupervisorState as State

    clock = peers.ros.node.create_publisher(Clock, "/clock", 1)
    supervisor = spawn("supervisor_node.node", params={"use_sim_time": True})

    def tell(seconds: int) -> None:
        message = Clock()
        message.clock.sec = seconds
        clock.publish(message)

    peers.until(State.IDLE)
    tell(1000)
    peers.start()
    peers.until(State.AUTONOMOUS)
    before = len(peers.targets)
    peers.run(0.5)
    assert len(peers.targets) - before >= 8, "the control tick does not hang on /clock"
    tell(1001)
    peers.run(0.2)
    assert peers.state == State.AUTONOMOUS
    tell(3)
    assert peers.until(State.HALTED).reason == State.REASON_CLOCK_JUMP
    assert supervisor.process.poll() is None


@pytest.mark.faults(row=5, tier="R")
def test_5_stopped_supervisor_trips_the_deadman_and_halts_when_it_goes_on(peers: Any, spawn: Any) -> None:
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
    supervisor.process.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    peers.ros.spin_until(lambda: tripped[-1], 2.0, "the deadman to trip")
    assert 0.1 < time.monotonic() - stopped < 1.0
    sent = len(peers.targets)
    peers.run(0.5)
    assert len(peers.targets) == sent
    supervisor.process.send_signal(signal.SIGCONT)
    halted = peers.until(State.HALTED)
    assert halted.reason in (State.REASON_INTERNAL, State.REASON_ROBOT_STALE)
    assert len(peers.targets) <= sent + 1, "it does not go on where it stopped"
    peers.run(0.5)
    assert peers.state == State.HALTED and tripped[-1], "neither resumes by itself"


@pytest.mark.faults(row=1, tier="R")
def test_1_stopped_monitor_halts_and_its_late_scores_count_for_nothing(peers: Any, spawn: Any) -> None:
    from vla_monitor.msg import SupervisorState as State

    spawn("supervisor_node.node")
    peers.until(State.IDLE)
    peers.start()
    peers.until(State.AUTONOMOUS)
    peers.run(0.5)
    peers.monitor = False
    stopped = time.monotonic()
    assert peers.until(State.HALTING).reason == State.REASON_MONITOR_STALE
    assert time.monotonic() - stopped < 0.8
    peers.until(State.HALTED)
    peers.monitor = True
    peers.run(1.0)
    assert peers.state == State.HALTED


@pytest.mark.faults(row=38, tier="L")
def test_38_exception_in_a_callback_holds_and_ends_the_process(
    peers: Any, ros_domain: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vla_monitor.msg import SupervisorState as State

    from supervisor_node.node import SupervisorNode

    node = SupervisorNode(context=peers.ros.node.context)
    peers.ros.executor.add_node(node)
    node.autostart()
    peers.until(State.IDLE)
    peers.start()
    peers.until(State.AUTONOMOUS)
    peers.run(0.3)
    core = node._core
    step = core.step

    def broken(now: float, inputs: Any) -> Any:
        if inputs.score is not None:
            raise ZeroDivisionError("a scorer's message that breaks us")
        return step(now, inputs)

    monkeypatch.setattr(core, "step", broken)
    halted = peers.until(State.HALTED)
    assert halted.reason == State.REASON_INTERNAL and peers.holds
    assert node.exit_code == 1 and node.leave.is_set()
    peers.ros.executor.remove_node(node)
    node.destroy_node()
