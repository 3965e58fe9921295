"""Two hosts, two cables between them: DDS uses the one that it was given, and nothing of it is on the other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from vla_uq.network import ADDRESS, dds_on_card

pytestmark = [pytest.mark.drill, pytest.mark.ros, pytest.mark.timeout(120)]
TALK = """
import time
import rclpy
from std_msgs.msg import String

rclpy.init()
node, heard, end = rclpy.create_node("speaker_{side}"), [], time.monotonic() + 30
publisher = node.create_publisher(String, "{side}", 10)
node.create_subscription(String, "{other}", heard.append, 10)
while len(heard) < 20 and time.monotonic() < end:
    publisher.publish(String(data="x" * 2000))
    rclpy.spin_once(node, timeout_sec=0.05)
end = time.monotonic() + 1  # the other one has yet to hear the rest
while time.monotonic() < end:
    publisher.publish(String(data="x" * 2000))
    time.sleep(0.05)
print(len(heard))
"""
MESSAGES = 20


def ip(command: str) -> str:
    return subprocess.run(["ip", *command.split()], check=True, capture_output=True, text=True, timeout=10).stdout


@pytest.fixture
def hosts(wait_until: Callable[..., object]) -> Iterator[dict[str, str]]:
    """Namespaces of two hosts, with their address on the first cable."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and ip")
    names = {side: f"vlacard{os.getpid() % 10_000}{side}" for side in "ab"}
    try:
        for name in names.values():
            ip(f"netns add {name}")
        for cable in (1, 2):
            ip(f"link add a{cable} netns {names['a']} type veth peer name b{cable} netns {names['b']}")
            for host, (side, name) in enumerate(names.items(), 1):
                ip(f"-n {name} addr add 10.214.{cable}.{host}/24 dev {side}{cable}")
                ip(f"-n {name} link set {side}{cable} up")
        for host, name in enumerate(names.values(), 1):
            ip(f"-n {name} link set lo up")
            ip(f"-n {name} route add default via 10.214.1.{3 - host}")
        # The kernel notices up to a second later that both ends are up.
        wait_until(lambda: all(ip(f"-n {name} -br link").count(" UP ") == 2 for name in names.values()), 10)
        yield {name: f"10.214.1.{host}" for host, name in enumerate(names.values(), 1)}
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    finally:
        for name in names.values():
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def sent(name: str, card: str) -> int:
    """Bytes that a card of a host has sent."""
    file = f"/sys/class/net/{card}/statistics/tx_bytes"
    return int(subprocess.run(["ip", "netns", "exec", name, "cat", file], capture_output=True, check=True).stdout)


def test_the_other_card_stays_silent(hosts: dict[str, str], ros_domain: int) -> None:
    env = {**os.environ, **dds_on_card("127.0.0.1"), "ROS_DOMAIN_ID": str(ros_domain)}
    env |= {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
    before = {(name, cable): sent(name, f"{name[-1]}{cable}") for name in hosts for cable in (1, 2)}
    talks = [
        subprocess.Popen(
            [
                "ip",
                "netns",
                "exec",
                name,
                sys.executable,
                "-c",
                TALK.format(side=name[-1], other="ab"[name[-1] == "a"]),
            ],
            env={**env, ADDRESS: address},
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, address in hosts.items()
    ]
    heard = [talk.communicate(timeout=90)[0] for talk in talks]
    assert all(int(count) >= MESSAGES for count in heard), heard
    grown = {(name, cable): sent(name, f"{name[-1]}{cable}") - at for (name, cable), at in before.items()}
    for name in hosts:
        assert grown[name, 1] > MESSAGES * 2000, "all of it went here"
        assert grown[name, 2] < 2000, "the kernel's own: neighbours, groups"
