"""The real nodes under the real ``ros2 launch``: they come up, they come back without arming, Ctrl-C ends them all."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ros2_launch import FILES, Launch, Launcher

from vla_cli.demo.system import NODES
from vla_policy.manifest import FILE, WEIGHTS, WIDOWX_WEIGHTS

pytestmark = [pytest.mark.drill, pytest.mark.ros]
LIFECYCLE = ("policy_node", "monitor_node", "supervisor_node")
FOUR = (*LIFECYCLE, "deadman_node")
WIDOWX = (
    ()  # any policy does, where the WidowX's own is not there: nothing is moved
    if (WIDOWX_WEIGHTS / FILE).is_file()
    else (f"weights:={WEIGHTS}", f"bundle:={WEIGHTS / 'bundle.safetensors'}")
)
STARTS: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "cameras.launch.py": [],  # it starts vendors' drivers alone
    "demo.launch.py": [((), tuple(NODES)), (("robot:=widowx", *WIDOWX), tuple(NODES))],
    "franka.launch.py": [(("sim:=true", "namespace:=left"), (*FOUR, "sim_node"))],
    "monitor.launch.py": [((), FOUR), (("robot:=widowx_xs", "mode:=shadow", "teleop:=joy"), (*FOUR, "teleop_node"))],
    "sim.launch.py": [(("teleop:=scripted",), ("sim_node", "scripted_teleop_node"))],
    "widowx.launch.py": [(("sim:=true", *WIDOWX), (*FOUR, "sim_node"))],
}
"""Launch file to arguments and the nodes that answer then."""


@pytest.fixture
def launcher(tmp_path: Path, ros_domain: int) -> Iterator[Launcher]:
    made = Launcher(tmp_path / "prefix", ros_domain)
    made.prepare(real=True)
    yield made
    made.close()


def wait_active(ros: Any, namespace: str, names: tuple[str, ...]) -> None:
    """Until every node answers, and those with a lifecycle are active."""
    from lifecycle_msgs.msg import State
    from lifecycle_msgs.srv import GetState
    from rcl_interfaces.srv import ListParameters

    for name in names:
        ros.call(ListParameters, f"{namespace}/{name}/list_parameters", ListParameters.Request(), timeout=60)
    for name in set(names) & set(LIFECYCLE):
        deadline = time.monotonic() + 60
        while (
            ros.call(GetState, f"{namespace}/{name}/get_state", GetState.Request()).current_state.id
            != State.PRIMARY_STATE_ACTIVE
        ):
            assert time.monotonic() < deadline, f"{name} does not become active"


def states_of(ros: Any, namespace: str = "") -> list[Any]:
    """The supervisor's announcements, as they come."""
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from vla_monitor.msg import SupervisorState

    latched, seen = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL), []
    ros.node.create_subscription(SupervisorState, f"{namespace}/supervisor_node/state", seen.append, latched)
    return seen


def ended(launch: Launch) -> None:
    assert launch.interrupt() == 0, launch.text()
    assert "process has died" not in launch.text()
    assert not launch.wait_gone(), "nothing is left"


def test_every_launch_file_is_started_here() -> None:
    assert sorted(STARTS) == FILES


@pytest.mark.parametrize(
    ("file", "arguments", "names"),
    [(file, *start) for file, starts in STARTS.items() for start in starts],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_starts_and_ends(
    launcher: Launcher, ros: Any, file: str, arguments: tuple[str, ...], names: tuple[str, ...]
) -> None:
    launch = launcher.start(file, *arguments)
    wait_active(ros, "/left" if "namespace:=left" in arguments else "", names)
    ended(launch)


def test_a_supervisor_that_comes_back_does_not_arm(launcher: Launcher, ros: Any) -> None:
    """Killed in mid-episode: the new one begins in UNKNOWN, and nothing moves until a person starts an episode."""
    from vla_monitor.msg import CommandRecord, SupervisorState
    from vla_monitor.srv import StartEpisode

    launch, seen, commands = launcher.start("franka.launch.py", "sim:=true"), states_of(ros), []
    ros.node.create_subscription(CommandRecord, "supervisor_node/command", commands.append, 10)
    ros.spin_until(lambda: seen and seen[-1].state == SupervisorState.IDLE, 90, "the supervisor to be idle")
    request = StartEpisode.Request(instruction="put the red cube in the basket")
    assert ros.call(StartEpisode, "supervisor_node/start_episode", request).ok
    ros.spin_until(lambda: seen[-1].state == SupervisorState.AUTONOMOUS, 60, "the episode to run")
    before = bytes(bytearray(seen[-1].run_id))
    os.kill(supervisor_of(launch), signal.SIGKILL)

    def of_the_new_one() -> list[Any]:
        return [state for state in seen if bytes(bytearray(state.run_id)) != before]

    ros.spin_until(of_the_new_one, 60, "a supervisor that comes back")
    commands.clear()
    deadline = time.monotonic() + 5.0
    ros.spin_until(lambda: time.monotonic() > deadline, 10)
    found = of_the_new_one()
    assert found[0].state == SupervisorState.UNKNOWN
    assert {state.state for state in found} <= {SupervisorState.UNKNOWN, SupervisorState.IDLE}
    assert not any(state.episode_id for state in found)
    assert not commands
    assert launch.interrupt() == 0
    assert not launch.wait_gone()


def supervisor_of(launch: Launch) -> int:
    """Its process."""
    (found,) = (
        pid
        for pid in launch.alive()
        if any(part.endswith(b"/supervisor_node") for part in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"))
    )
    return found


def test_two_computers(launcher: Launcher, ros: Any) -> None:
    """Started apart, each with its part and on one network card, they make one system."""
    from vla_monitor.msg import SupervisorState

    arm = launcher.start("franka.launch.py", "sim:=true", "only:=arm", "network:=127.0.0.1")
    seen = states_of(ros)
    ros.spin_until(lambda: seen and "policy" in seen[-1].failing_guards, 90, "an arm that misses its policy")
    assert seen[-1].state == SupervisorState.UNKNOWN
    policy = launcher.start("monitor.launch.py", "robot:=franka_crisp_sim", "only:=policy", "network:=127.0.0.1")
    ros.spin_until(lambda: seen[-1].state == SupervisorState.IDLE, 90, "both to find each other")
    ended(policy)
    ros.spin_until(lambda: "policy" in seen[-1].failing_guards, 30, "the loss to be noticed")
    ended(arm)


def test_two_arms_at_once(launcher: Launcher, ros: Any, tmp_path: Path) -> None:
    """Each supervisor sees its own arm, and gets ready."""
    from vla_monitor.msg import SupervisorState

    left = launcher.start("franka.launch.py", "sim:=true", "namespace:=left")
    right = launcher.start("widowx.launch.py", "sim:=true", "namespace:=right", *WIDOWX)
    frames = {"left": states_of(ros, "/left"), "right": states_of(ros, "/right")}
    for side, seen in frames.items():
        ros.spin_until(lambda seen=seen: seen and seen[-1].state == SupervisorState.IDLE, 90, f"the {side} arm")
    ended(left)
    ended(right)
