"""The hand-off over DDS: supervisor and teleop node as processes, the game pad and all the rest played by the test."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.drill]
LEASE = 0.2
"""Seconds, the supervisor's lease."""
WIRE = 0.15
"""Seconds for a timer of the device, DDS and the test's own loop, on a busy machine."""
DEADMAN, TAKE, GIVE, SUCCESS, FORWARD = 10, 3, 2, 11, 1


class Pad:
    """A game pad of ``game_controller_node``: repeats its state at 50 Hz while it is plugged in."""

    def __init__(self, ros: Any) -> None:
        from sensor_msgs.msg import Joy

        self._kind, self.plugged = Joy, True
        self.axes, self.buttons = [0.0] * 6, [0] * 15
        self._publisher = ros.node.create_publisher(Joy, "joy", 10)
        ros.node.create_timer(0.02, self._repeat)

    def _repeat(self) -> None:
        if self.plugged:
            self._publisher.publish(self._kind(axes=self.axes, buttons=self.buttons))


@pytest.fixture
def handed(peers: Any, spawn: Any) -> Any:
    """An arm that was halted by an alarm and taken over with the pad: ``(pad, teleop node's process)``."""
    from vla_monitor.msg import SupervisorState as State

    pad = Pad(peers.ros)
    spawn("supervisor_node.node")
    device = spawn("teleop_node.node")
    peers.until(State.IDLE, 40.0)
    assert peers.start().ok
    peers.until(State.AUTONOMOUS)
    peers.run(0.3)
    peers.value = 4.0
    assert peers.until(State.HALTED).takeover_requested
    for _ in range(5):  # a pad that stutters, because the machine does, must be let go of again
        pad.buttons[DEADMAN] = pad.buttons[TAKE] = 0
        peers.run(0.3)
        pad.buttons[DEADMAN] = pad.buttons[TAKE] = 1
        peers.run(0.8)
        if peers.state == State.TELEOP:
            break
    peers.until(State.TELEOP)
    pad.buttons[TAKE] = 0
    return pad, device


def stopped(peers: Any, since: float) -> tuple[float, Any]:
    """Seconds until HALTING was heard, and the state; then wait for the rest."""
    from vla_monitor.msg import SupervisorState as State

    peers.ros.spin_until(lambda: peers.state in (State.HALTING, State.HALTED), 3.0, "a halt")
    took = time.monotonic() - since
    return took, peers.until(State.HALTED)


def test_pad_takes_over_moves_the_arm_and_labels_the_episode(peers: Any, handed: Any) -> None:
    from vla_monitor.msg import EpisodeEvent
    from vla_monitor.msg import SupervisorState as State

    events: list[Any] = []
    peers.ros.node.create_subscription(EpisodeEvent, "supervisor_node/events", events.append, 50)
    pad, _ = handed
    start = peers.targets[-1][1].pose.position.x
    before = peers.plant.q[0]
    peers.run(0.3)
    assert abs(peers.targets[-1][1].pose.position.x - start) < 0.02, "the takeover itself moves nothing"
    pad.axes[FORWARD] = 1.0
    peers.run(0.6)
    pad.axes[FORWARD] = 0.0
    peers.run(0.3)
    moved = peers.plant.q[0] - before
    assert 0.05 < moved < 0.15, f"0.15 m/s for 0.6 s, found {moved}"
    assert peers.states[-1].intervention and peers.states[-1].source == State.SOURCE_TELEOP
    pad.buttons[GIVE] = 1
    peers.until(State.HALTED)
    pad.buttons[GIVE] = pad.buttons[DEADMAN] = 0
    peers.ros.spin_until(lambda: events, 5.0, "the events' publisher") if events else peers.run(0.2)
    pad.buttons[SUCCESS] = 1
    peers.until(State.IDLE)
    peers.ros.spin_until(lambda: any(e.event == EpisodeEvent.ENDED for e in events), 5.0, "the label")
    assert events[-1].label == EpisodeEvent.SUCCESS


def test_27_letting_go_halts(peers: Any, handed: Any) -> None:
    from vla_monitor.msg import SupervisorState as State

    pad, _ = handed
    pad.axes[FORWARD] = 1.0
    peers.run(0.4)
    pad.buttons[DEADMAN] = 0
    took, state = stopped(peers, time.monotonic())
    assert state.reason == State.REASON_TELEOP_RELEASED and state.halt_verified
    assert took < LEASE
    peers.run(0.5)
    assert peers.state == State.HALTED, "no resume by itself"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_27_dead_teleop_node_halts_within_the_lease(peers: Any, handed: Any, number: int) -> None:
    from vla_monitor.msg import SupervisorState as State

    pad, device = handed
    pad.axes[FORWARD] = 1.0
    peers.run(0.4)
    device.process.send_signal(number)
    took, state = stopped(peers, time.monotonic())
    assert state.reason == State.REASON_LEASE_LOST and state.halt_verified
    assert took < LEASE + WIRE
    device.process.send_signal(signal.SIGCONT)
    peers.run(0.5)
    assert peers.state == State.HALTED


def test_27_unplugged_pad_halts(peers: Any, handed: Any) -> None:
    from vla_monitor.msg import SupervisorState as State

    pad, _ = handed
    pad.axes[FORWARD] = 1.0
    peers.run(0.4)
    pad.plugged = False
    took, state = stopped(peers, time.monotonic())
    assert state.reason == State.REASON_TELEOP_RELEASED
    assert took < LEASE + WIRE
    pad.plugged = True
    peers.run(0.5)
    assert peers.state == State.HALTED


def test_interrupted_teleop_node_gives_the_lease_back(peers: Any, handed: Any) -> None:
    from vla_monitor.msg import SupervisorState as State

    _, device = handed
    device.interrupt()
    took, state = stopped(peers, time.monotonic())
    assert state.reason == State.REASON_TELEOP_RELEASED, "said, not found missing"
    assert took < LEASE and device.process.wait(5.0) == 0


def test_28_deadman_that_is_stuck_from_the_start_takes_nothing(peers: Any, spawn: Any) -> None:
    from vla_monitor.msg import SupervisorState as State

    pad = Pad(peers.ros)
    pad.buttons[DEADMAN] = 1
    spawn("supervisor_node.node")
    device = spawn("teleop_node.node")
    peers.until(State.IDLE, 40.0)
    peers.start()
    peers.until(State.AUTONOMOUS)
    peers.value = 4.0
    peers.until(State.HALTED)
    pad.buttons[TAKE] = 1
    peers.run(1.0)
    assert peers.state == State.HALTED
    assert "the deadman is not held" in device.text()


def test_wrong_map_is_one_line_and_exit_code_2(peers: Any, spawn: Any, wait_until: Any) -> None:
    device = spawn("teleop_node.node", params={"map": "nunchuk"})
    wait_until(lambda: device.process.poll() is not None)
    assert device.process.returncode == 2
    assert device.text().splitlines()[-1].startswith("teleop_node: nunchuk: no such teleop map; expected gello, joy")
