"""``vla-monitor teleop keyboard``: held keys become the lease; a terminal serves the simulated arm only."""

from __future__ import annotations

import json
import os
import pty
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vla_cli.main import main

SPACE, W, T = 57, 17, 20
DIE_WITH_PARENT = "import ctypes, signal; ctypes.CDLL(None).prctl(1, signal.SIGKILL)"


class Verb:
    """The command as a process."""

    def __init__(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> None:
        code = f"{DIE_WITH_PARENT}; import sys; from vla_cli.main import main; sys.exit(main(sys.argv[1:]))"
        command = [sys.executable, "-c", code, "teleop", "keyboard", "--json", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, stdin=stdin, text=True, **pipes)  # type: ignore[call-overload]

    def end(self) -> tuple[int, str, str]:
        """Exit code, stdout and stderr, after Ctrl-C if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(2)
        out, said = self.process.communicate(timeout=30)
        return self.process.returncode, out, said


class Board:
    """An event device: a named pipe that the test writes key events to."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path, self._end = path, os.open(path, os.O_RDWR)

    def key(self, code: int, value: int) -> None:
        os.write(self._end, struct.pack("llHHi", 0, 0, 1, code, value))

    def unplug(self) -> None:
        os.close(self._end)


class Robot:
    """The supervisor's side, as far as a keyboard sees it: an arm at rest, and who takes over."""

    def __init__(self, ros: Any) -> None:
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from std_msgs.msg import Bool
        from std_srvs.srv import SetBool
        from vla_monitor.msg import CommandRecord, SimState, SupervisorState

        self.ros, self.leases, self.asked = ros, [], []
        self.state, self.simulated = SupervisorState(state=SupervisorState.HALTED), False
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._record = CommandRecord()
        self._record.measured.pose.orientation.w = 1.0
        self._records = ros.node.create_publisher(CommandRecord, "supervisor_node/command", 1)
        self._states = ros.node.create_publisher(SupervisorState, "supervisor_node/state", latched)
        self._scene, self._scenes = SimState(), ros.node.create_publisher(SimState, "sim_node/sim_state", 1)
        ros.node.create_subscription(Bool, "supervisor_node/teleop/active", lambda m: self.leases.append(m.data), 1)
        ros.node.create_service(SetBool, "supervisor_node/set_intervention", self._on_ask)
        ros.node.create_timer(0.05, self._tell)

    def _tell(self) -> None:
        self._records.publish(self._record)
        self._states.publish(self.state)
        if self.simulated:
            self._scenes.publish(self._scene)

    def _on_ask(self, request: Any, response: Any) -> Any:
        self.asked.append(request.data)
        response.success = True
        return response

    def until(self, held: bool) -> None:
        count = len(self.leases)
        self.ros.spin_until(lambda: len(self.leases) > count and self.leases[-1] == held, 40.0, f"lease {held}")

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.ros.spin_until(lambda: time.monotonic() > end, seconds + 5)


@pytest.fixture
def robot(ros: Any) -> Robot:
    return Robot(ros)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    yield Board(tmp_path / "event7")


@pytest.mark.ros
def test_held_key_is_the_lease_and_t_takes_over(robot: Robot, board: Board) -> None:
    verb = Verb("--input", str(board.path))
    robot.until(False)
    board.key(SPACE, 1)
    robot.until(True)
    board.key(T, 1)
    robot.ros.spin_until(lambda: robot.asked == [True], 5.0, "the takeover")
    board.key(SPACE, 0)
    let_go = time.monotonic()
    robot.until(False)
    assert time.monotonic() - let_go < 0.5
    code, out, said = verb.end()
    assert code == 0 and json.loads(out)["key_up"] is True
    assert "NO KEY-UP" not in said


@pytest.mark.ros
def test_unplugged_keyboard_lets_go_and_ends_with_a_line(robot: Robot, board: Board) -> None:
    verb = Verb("--input", str(board.path))
    robot.until(False)
    board.key(SPACE, 1)
    robot.until(True)
    board.unplug()
    robot.until(False)
    code, _, said = verb.end()
    assert code == 2 and said.splitlines()[-1].startswith("vla-monitor: the keyboard cannot be read any more")


@pytest.mark.ros
def test_terminal_moves_the_simulated_arm_and_says_loudly_what_it_lacks(robot: Robot) -> None:
    robot.simulated = True
    master, slave = pty.openpty()
    verb = Verb("--terminal", stdin=slave)
    robot.until(False)
    for _ in range(10):  # a key counts once the simulated arm was seen, and then only after a release
        os.write(master, b"w")
        pressed = time.monotonic()
        robot.run(0.5)
        if robot.leases[-1]:
            break
        robot.run(1.0)
    robot.until(False)
    assert 0.5 < time.monotonic() - pressed < 2.0, "a timeout stands in for the key-up"
    assert True in robot.leases
    code, out, said = verb.end()
    assert code == 0 and json.loads(out)["key_up"] is False and "!!! NO KEY-UP" in said
    os.close(master)
    os.close(slave)


@pytest.mark.ros
def test_terminal_moves_nothing_else(robot: Robot) -> None:
    master, slave = pty.openpty()
    verb = Verb("--terminal", stdin=slave)
    os.write(master, b"wwww")
    robot.ros.spin_until(lambda: verb.process.poll() is not None, 60.0, "the refusal")
    assert not any(robot.leases)
    code, _, said = verb.end()
    assert code == 2 and "it may move the simulated arm only; expected a simulated arm" in said
    os.close(master)
    os.close(slave)


@pytest.mark.ros
def test_neither_event_device_nor_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    assert main(["teleop", "keyboard", "--input", "/dev/input/event99999"]) == 2
    assert "event99999: cannot be opened" in capsys.readouterr().err
    assert main(["teleop", "nunchuk"]) == 2
