"""What a recorder follows of each arm: everything that its driver is sent, and everything that the audit asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor_node.arms.profile import load_profile
from vla_cli.bag.topics import Offer, topics_of

ARMS = sorted(path.stem for path in (Path(__file__).parents[2] / "config" / "arms").glob("*.yaml"))
SENT = {
    "franka_crisp_sim": {"target_pose", "target_joint", "gripper/gripper_position_controller/commands"},
    "franka_crisp": {"target_pose", "target_joint"},
    "franka_jtc": {"fr3_arm_controller/joint_trajectory"},
    "widowx_jtc": {"wx250s/arm_controller/joint_trajectory", "wx250s/gripper_controller/joint_trajectory"},
    "widowx_xs": {"wx250s/commands/joint_group", "wx250s/commands/joint_single"},
    "widowx_xs_sim": {"wx250s/commands/joint_group", "wx250s/commands/joint_single"},
}
COMMANDS = ("joint_trajectory", "joint_group", "joint_single", "target_pose", "target_joint", "/commands")


@pytest.mark.parametrize("arm", ARMS)
def test_what_a_driver_is_sent_is_recorded(arm: str) -> None:
    profile = load_profile(arm)
    topics = {topic.name: topic for topic in topics_of(profile)}
    assert {n for n in topics if n.endswith(COMMANDS) and not n.startswith("supervisor_node/")} == SENT[arm]
    assert {*profile.sources.joint_states, profile.sources.pose or "current_pose"} <= set(topics)
    assert {"supervisor_node/command", "deadman_node/command", "policy_node/chunk", "monitor_node/score"} <= set(topics)
    described = [topic for topic in topics.values() if topic.name.endswith("robot_description")]
    wanted = profile.kinematics is not None and profile.kinematics.description.endswith("robot_description")
    assert [topic.offer for topic in described] == [Offer.LATCHED] * wanted


def test_its_types_can_be_written_down() -> None:
    from vla_cli.bag.types import recording_types

    pytest.importorskip("interbotix_xs_msgs.msg", reason="message packages are not built; run: make test")
    known = set(recording_types().fielddefs)
    assert {topic.type for arm in ARMS for topic in topics_of(load_profile(arm))} <= known
