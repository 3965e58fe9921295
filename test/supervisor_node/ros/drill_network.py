"""Drills of the fault rows about the network: the supervisor on one host, all others on another.

Each needs a process of its own, in which nothing of DDS ran before, for the middleware looks for network interfaces
once only. ``test_supervisor_faults_network.py`` starts them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.timeout(180)]


def ip(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True, timeout=10)


@pytest.fixture
def hosts(ros_domain: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """Namespace and link of another host, on a wire of its own."""
    missing = [name for name in ("ip", "tc") if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"network namespaces need root{' and ' + ', '.join(missing) if missing else ''}")
    name = f"vla{os.getpid() % 10_000}"
    here, there = f"{name}a", f"{name}b"
    net = f"10.213.{ros_domain}"
    try:
        ip(f"ip netns add {name}")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    try:
        ip(f"ip link add {here} type veth peer name {there} netns {name}")
        ip(f"ip addr add {net}.1/24 dev {here}")
        ip(f"ip link set {here} up")
        for rest in (f"addr add {net}.2/24 dev {there}", f"link set {there} up", "link set lo up"):
            ip(f"ip -n {name} {rest}")
        ip(f"ip -n {name} route add default via {net}.1")
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
        monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")
        yield name, here
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", here], check=False, capture_output=True)


@pytest.fixture
def running(hosts: tuple[str, str], peers: Any, spawn: Any) -> Any:
    """The supervisor on the other host, the policy moving the arm."""
    from vla_monitor.msg import SupervisorState as State

    common = str(Path(__file__).parents[2] / "common")
    path = os.pathsep.join(each for each in (common, os.environ.get("PYTHONPATH", "")) if each)
    spawn("netns_child", env={"NETNS": hosts[0], "PYTHONPATH": path})
    peers.until(State.IDLE, 30.0)
    assert peers.start().ok
    peers.until(State.AUTONOMOUS)
    peers.run(0.5)
    return peers


def test_partition(hosts: tuple[str, str], running: Any) -> None:
    from vla_monitor.msg import SupervisorState as State

    ip(f"ip link set {hosts[1]} down")
    cut = time.monotonic()
    running.run(0.5)
    where = running.plant.q.copy()
    running.run(2.5)
    assert abs(running.plant.q - where).max() < 1e-3, "no command, no motion: the arm is at its last target"
    ip(f"ip link set {hosts[1]} up")
    running.states.clear()
    running.ros.spin_until(lambda: running.states, 30.0, "the supervisor's voice")
    running.run(2.0)
    assert running.state in (State.HALTED, State.FAULT), "heal does not resume"
    late = [at for at, _ in running.targets if at > cut + 0.5]
    assert len(late) <= 1, "queues keep the newest only: no burst of old commands when the network heals"
    assert running.holds[-1][0] > max(late, default=cut), "and the hold has the last word"
    assert abs(running.plant.q - np.asarray(running.holds[-1][1].position)).max() < 0.01


def test_slow_and_lossy_network(hosts: tuple[str, str], running: Any) -> None:
    from vla_monitor.msg import SupervisorState as State

    try:
        ip(f"tc qdisc add dev {hosts[1]} root netem delay 200ms 20ms loss 5%")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no netem here: {error.stderr.decode().strip()}")
    running.run(5.0)
    halts = [now for before, now in zip(running.states, running.states[1:], strict=False) if now.state != before.state]
    assert [s.state for s in halts].count(State.HALTING) <= 1, "one clean halt, or none"
    assert State.AUTONOMOUS not in [s.state for s in halts[1:]], "what was halted stays halted"
    answer = running.trigger("halt")
    assert answer.success or running.state == State.FAULT, answer.message
