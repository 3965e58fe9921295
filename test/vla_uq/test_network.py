"""DDS on one network card: the address is checked before anything speaks, and the shipped profiles obey it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from vla_uq.configuration import DDS
from vla_uq.errors import InputError
from vla_uq.network import ADDRESS, CYCLONE, dds_on_card

FOLDER = Path(__file__).parents[2] / "config" / "dds"
SOCKETS = """
import os
import rclpy

rclpy.init()
node = rclpy.create_node("speaker")
open_files = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
links = [os.readlink(file) for file in open_files if os.path.islink(file)]
mine = {link[8:-1] for link in links if link.startswith("socket:")}
for line in open("/proc/self/net/udp").read().splitlines()[1:]:
    parts = line.split()
    if parts[9] in mine:
        print(".".join(str(byte) for byte in bytes.fromhex(parts[1].split(":")[0])[::-1]))
"""


@pytest.mark.parametrize("wrong", ["", "0.0.0.0", "203.0.113.9", "eth0", "127.1", "192.168.1.300", "::1"])
def test_what_is_no_card_of_this_computer_is_refused(wrong: str) -> None:
    """With an address that does not count, Fast DDS would speak on every card, the arm's own too."""
    with pytest.raises(InputError, match="network"):
        dds_on_card(wrong)


def test_the_environment_names_both_profiles() -> None:
    made = dds_on_card("127.0.0.1")
    assert made[ADDRESS] == "127.0.0.1" and set(made) == {ADDRESS, CYCLONE, *DDS}
    assert {made[name] for name in DDS} == {str(FOLDER / "fastdds_interface.xml")}
    assert made[CYCLONE] == (FOLDER / "cyclonedds_interface.xml").as_uri()


def durations(file: str, *names: str) -> list[str]:
    tree = ElementTree.parse(FOLDER / file)
    return [
        text.strip()
        for name in names
        for e in tree.iter()
        if e.tag.endswith(name)
        for text in e.itertext()
        if text.strip()
    ]


def test_profiles_agree_about_how_long_the_killed_live() -> None:
    usual = durations("fastdds.xml", "leaseDuration", "leaseAnnouncement")
    assert durations("fastdds_interface.xml", "leaseDuration", "leaseAnnouncement") == usual
    assert durations("cyclonedds_interface.xml", "LeaseDuration", "SPDPInterval") == [f"{n}s" for n in usual]


@pytest.mark.ros
def test_fast_dds_opens_no_socket_on_another_card() -> None:
    pytest.importorskip("rclpy")
    env = {**os.environ, **dds_on_card("127.0.0.1"), "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
    env |= {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp", "ROS_DOMAIN_ID": "99"}
    run = subprocess.run([sys.executable, "-c", SOCKETS], env=env, capture_output=True, text=True, timeout=60)
    found = set(run.stdout.split())
    assert run.returncode == 0, run.stderr
    assert "127.0.0.1" in found and found <= {"127.0.0.1", "239.255.0.1"}, "0.0.0.0 would be every card"
