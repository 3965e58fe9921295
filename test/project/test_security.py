"""The SROS 2 policies against what the nodes really have: started over DDS, their topics and services are compared."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "config" / "sros2"
COMMON = "vla_monitor"
PROFILES = sorted(path.stem for path in (ROOT / "config" / "arms").glob("*.yaml"))
PACKAGES = {
    "franka_crisp": ("control_msgs", "controller_manager_msgs", "franka_msgs"),
    "franka_jtc": ("control_msgs", "controller_manager_msgs", "franka_msgs"),
    "widowx_jtc": ("control_msgs", "controller_manager_msgs"),
    "widowx_xs": ("interbotix_xs_msgs",),
    "widowx_xs_sim": ("interbotix_xs_msgs",),
}
"""Of the robots' own, that a driver needs."""
KINDS = {"publish": "topics", "subscribe": "topics", "reply": "services", "request": "services"}
NOW_AND_THEN = {"subscribe": {"/clock"}}
"""Allowed, and there with use_sim_time only."""


@dataclass
class Rights:
    """What a node may do, or does: names by right."""

    names: dict[str, set[str]] = field(default_factory=lambda: {right: set() for right in KINDS})


def enclaves(name: str) -> dict[str, tuple[str, Rights]]:
    """Enclave to its node and the node's rights, names resolved as sros2 does."""
    found: dict[str, tuple[str, Rights]] = {}
    root = ElementTree.parse(FOLDER / f"{name}.policy.xml").getroot()
    assert root.tag == "policy" and root.get("version") == "0.2.0"
    for enclave in root.iter("enclave"):
        (profile,) = enclave.iter("profile")
        node, rights = profile.get("node", ""), Rights()
        assert profile.get("ns") == "/"
        for group in profile:
            ((right, allowed),) = group.attrib.items()
            assert allowed == "ALLOW" and KINDS[right] == group.tag
            for one in group:
                assert one.tag == KINDS[right].removesuffix("s") and one.text
                named = {"/": one.text, "~": f"/{node}{one.text[1:]}"}.get(one.text[0], f"/{one.text}")
                assert named not in rights.names[right], f"{named} stands twice"
                rights.names[right].add(named)
        found[enclave.get("path", "")] = (node, rights)
    return found


def of_node(ros: Any, node: str) -> Rights:
    """What the graph shows of a node."""
    shown = Rights()
    questions = {
        "publish": ros.node.get_publisher_names_and_types_by_node,
        "subscribe": ros.node.get_subscriber_names_and_types_by_node,
        "reply": ros.node.get_service_names_and_types_by_node,
        "request": ros.node.get_client_names_and_types_by_node,
    }
    for right, ask in questions.items():
        shown.names[right] = {name for name, _ in ask(node, "/")}
    return shown


def differences(allowed: Rights, shown: Rights, of_class: bool) -> list[str]:
    """What a node has and may not, and, for an enclave of one node alone, what it may and has not."""
    said = []
    for right in KINDS:
        may, has = allowed.names[right], shown.names[right]
        said += [f"{right} {name}: the node has it, the policy denies it" for name in sorted(has - may)]
        if of_class:
            unused = may - has - NOW_AND_THEN.get(right, set())
            said += [f"{right} {name}: allowed, and the node has it not" for name in sorted(unused)]
    return said


def compare(ros: Any, node: str, allowed: Rights, of_class: bool = True) -> None:
    """Wait until the graph shows what the policy says; fail with what differs."""
    said: list[str] = ["never seen"]

    def agrees() -> bool:
        if node in ros.node.get_node_names():
            said[:] = differences(allowed, of_node(ros, node), of_class)
        return not said

    try:
        ros.spin_until(agrees, 60.0, node)
    except pytest.fail.Exception:
        pytest.fail(f"{node}:\n" + "\n".join(said))


@pytest.mark.ros
@pytest.mark.drill
@pytest.mark.parametrize("node", ["policy_node", "monitor_node"])
def test_policy_and_monitor_have_what_they_may(ros: Any, spawn: Any, node: str) -> None:
    spawn(f"{node}.node")
    name, allowed = enclaves(COMMON)[f"/vla_monitor/{node}"]
    assert name == node
    compare(ros, node, allowed)


@pytest.mark.ros
@pytest.mark.drill
@pytest.mark.parametrize("robot", PROFILES)
def test_supervisor_and_deadman_have_what_they_may(ros: Any, spawn: Any, robot: str) -> None:
    missing = [name for name in PACKAGES.get(robot, ()) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed; run: make test")
    spawn("supervisor_node.node", params={"robot": robot})
    spawn("supervisor_node.deadman.node", params={"robot": robot})
    for node, allowed in enclaves(robot).values():
        compare(ros, node, allowed)


@pytest.mark.ros
@pytest.mark.drill
@pytest.mark.parametrize("device", sorted(path.stem for path in (ROOT / "config" / "teleop").glob("*.yaml")))
def test_every_device_lives_in_the_operators_enclave(ros: Any, spawn: Any, device: str) -> None:
    spawn("teleop_node.node", params={"map": device})
    node, allowed = enclaves(COMMON)["/vla_monitor/operator"]
    compare(ros, node, allowed, of_class=False)


def test_every_arm_has_its_policy() -> None:
    assert sorted(path.name.split(".")[0] for path in FOLDER.glob("*.policy.xml")) == sorted([COMMON, *PROFILES])
    for robot in PROFILES:
        assert set(enclaves(robot)) == {"/vla_monitor/supervisor_node", "/vla_monitor/deadman_node"}


@pytest.mark.parametrize("name", [COMMON, *PROFILES])
def test_no_comment_stands_between_enclaves(name: str) -> None:
    """`ros2 security generate_artifacts` takes whatever stands there for an enclave, and fails.

    Nor are there inclusions: moved about by that tool, included elements crash it.
    """
    text = (FOLDER / f"{name}.policy.xml").read_text(encoding="utf-8")
    between = re.findall(r"(?:<enclaves>|</enclave>)(.*?)(?=<enclave |</enclaves>)", text, re.S)
    assert len(between) >= 2 and not any(part.strip() for part in between) and "XInclude" not in text


OPERATORS = {
    *("start_episode", "end_episode", "cancel_episode", "halt", "resume", "reset", "recover_robot"),
    *("set_intervention", "std/start_episode", "std/end_episode", "set_parameters", "change_state"),
}


@pytest.mark.parametrize("robot", PROFILES)
def test_only_the_operator_may_ask_the_supervisor(robot: str) -> None:
    everyone = {**enclaves(COMMON), **enclaves(robot)}
    asked = {f"/supervisor_node/{name}" for name in OPERATORS}
    for path, (_, rights) in everyone.items():
        assert asked & rights.names["request"] == (asked if path == "/vla_monitor/operator" else set()), path
    spoken = {f"/supervisor_node/{name}" for name in ("halt_request", "teleop/active", "teleop/target_pose")}
    for path, (_, rights) in everyone.items():
        assert spoken & rights.names["publish"] == (spoken if path == "/vla_monitor/operator" else set()), path


@pytest.mark.parametrize("robot", PROFILES)
def test_nobody_speaks_for_another(robot: str) -> None:
    """No two enclaves publish one topic, or answer one service, but for what every node has, and for the backup of the
    arm's commands: the deadman holds what the supervisor commanded.
    """
    backup = {"/vla_monitor/supervisor_node", "/vla_monitor/deadman_node"}
    everyone = {**enclaves(COMMON), **enclaves(robot)}
    for right in ("publish", "reply"):
        seen: dict[str, str] = {"/rosout": "", "/parameter_events": "", "/diagnostics": ""}
        for path, (_, rights) in everyone.items():
            for name in rights.names[right]:
                both = {seen.get(name, path), path}
                assert both <= {path, ""} or both == backup, f"{right} {name}: {' and '.join(both)}"
                seen.setdefault(name, path)


def test_observers_command_nothing() -> None:
    _, rights = enclaves(COMMON)["/vla_monitor/observer"]
    assert rights.names["publish"] == {"/rosout", "/parameter_events"} and not rights.names["request"]


def test_no_policy_allows_what_drops_an_arm() -> None:
    """I6: torque-off, mode changes and reboots are nobody's."""
    for file in FOLDER.glob("*.xml"):
        text = file.read_text(encoding="utf-8")
        assert not any(word in text for word in ("torque_enable", "set_operating_modes", "reboot_motors"))


@pytest.mark.ros
@pytest.mark.drill
def test_the_wheels_cannot_enforce_a_policy(tmp_path: Path) -> None:
    """What the how-to says: with security asked for, a node of a Fast DDS without its plugins does not start."""
    enclave = tmp_path / "enclaves"
    enclave.mkdir()
    for name in ("identity_ca.cert.pem", "cert.pem", "key.pem", "permissions_ca.cert.pem"):
        (enclave / name).touch()
    for name in ("governance.p7s", "permissions.p7s"):
        (enclave / name).touch()
    code = "import rclpy; rclpy.init(); rclpy.create_node('someone')"
    secured = {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce"}
    environment = {**os.environ, **secured, "ROS_SECURITY_KEYSTORE": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0, "an open node beside secured ones would be worse than none"
    if "doesn't have the security libraries" not in ended.stderr:
        pytest.skip("this ROS has the security plugins, and refuses the empty certificates instead")
