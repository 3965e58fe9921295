"""Leader arms: forward kinematics of a robot description, and the refusal of a leader that stands elsewhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from teleop_node.chain import Chain
from teleop_node.device import Grip, Input, Leader, Term
from teleop_node.hand import Hand
from teleop_node.values import Arm, Reading
from vla_uq.errors import InputError

# Craig's convention: a, d, alpha of the joint before, in the order of the data sheet of the Panda and the FR3.
DH = [
    (0.0, 0.333, 0.0),
    (0.0, 0.0, -math.pi / 2),
    (0.0, 0.316, math.pi / 2),
    (0.0825, 0.0, math.pi / 2),
    (-0.0825, 0.384, -math.pi / 2),
    (0.0, 0.0, math.pi / 2),
    (0.088, 0.0, math.pi / 2),
]
NAMES = tuple(f"fr3_joint{i}" for i in range(1, 8))
FLANGE, HAND_TURN, TIP = 0.107, -math.pi / 4, 0.1034


def urdf() -> str:
    """The arm as its description has it: the screw of a row is a joint's origin."""
    joints, links = [], ["<link name='fr3_link0'/>"]
    for i, (a, d, alpha) in enumerate(DH, 1):
        y, z = -d * math.sin(alpha), d * math.cos(alpha)
        joints.append(
            f"<joint name='fr3_joint{i}' type='revolute'><parent link='fr3_link{i - 1}'/><child link='fr3_link{i}'/>"
            f"<origin xyz='{a} {y} {z}' rpy='{alpha} 0 0'/><axis xyz='0 0 1'/></joint>"
        )
        links.append(f"<link name='fr3_link{i}'/>")
    joints.append(
        "<joint name='hand' type='fixed'><parent link='fr3_link7'/><child link='fr3_hand_tcp'/>"
        f"<origin xyz='0 0 {FLANGE + TIP}' rpy='0 0 {HAND_TURN}'/></joint>"
    )
    links.append("<link name='fr3_hand_tcp'/><link name='elsewhere'/>")
    return f"<robot name='fr3'>{''.join(links)}{''.join(joints)}</robot>"


def by_hand(q: Any) -> Any:
    """The same as a product of the rows' matrices."""
    total = np.eye(4)
    for (a, d, alpha), theta in zip(DH, q, strict=True):
        ca, sa, ct, st = math.cos(alpha), math.sin(alpha), math.cos(theta), math.sin(theta)
        total = total @ np.array(
            [[ct, -st, 0, a], [st * ca, ct * ca, -sa, -d * sa], [st * sa, ct * sa, ca, d * ca], [0, 0, 0, 1]]
        )
    c, s = math.cos(HAND_TURN), math.sin(HAND_TURN)
    return total @ np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, FLANGE + TIP], [0, 0, 0, 1]])


@pytest.mark.parametrize("seed", range(5))
def test_chain_equals_the_product_of_its_matrices(seed: int) -> None:
    q = np.random.default_rng(seed).uniform(-2, 2, 7)
    chain = Chain(urdf(), "fr3_link0", "fr3_hand_tcp")
    assert chain.names == NAMES
    pose = chain.pose(dict(zip(NAMES, q, strict=True)))
    assert pose.position == pytest.approx(by_hand(q)[:3, 3], abs=1e-12)
    assert pose.rotation == pytest.approx(by_hand(q)[:3, :3], abs=1e-12)


def test_roll_pitch_yaw_turn_about_fixed_axes() -> None:
    text = (
        "<robot><link name='a'/><link name='b'/><joint name='j' type='prismatic'><parent link='a'/><child link='b'/>"
        "<origin rpy='1.5707963267948966 0 1.5707963267948966' xyz='1 0 0'/><axis xyz='0 0 2'/></joint></robot>"
    )
    pose = Chain(text, "a", "b").pose({"j": 0.5})
    assert pose.rotation == pytest.approx(np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]), abs=1e-9)
    assert pose.position == pytest.approx([1.5, 0, 0]), "the axis is of unit length, and of the joint's own frame"


@pytest.mark.parametrize(
    ("text", "tip", "said"),
    [
        ("<robot>", "fr3_hand_tcp", "not XML"),
        (None, "hand_tcp", "no such link; expected hand_tcp; found elsewhere, fr3_hand_tcp"),
        (None, "elsewhere", "no chain of joints; expected from fr3_link0 to elsewhere"),
        ("0.0825", "fr3_hand_tcp", "fr3_joint4.xyz: impossible value; expected 3 numbers"),
        ("revolute", "fr3_hand_tcp", "expected a parent, and a type of revolute, continuous, prismatic, fixed"),
    ],
)
def test_descriptions_that_do_not_serve(text: str | None, tip: str, said: str) -> None:
    given = urdf() if text is None else text if "<" in text else urdf().replace(text, "floating", 1)
    with pytest.raises(InputError) as error:
        Chain(given, "fr3_link0", tip)
    assert said in str(error.value)


HOME = dict(zip(NAMES, [0, -0.785, 0, -2.356, 0, 1.571, 0.785], strict=True))


def make_hand(leader: dict[str, float], description: str = urdf()) -> tuple[Hand, Arm, Any]:
    inputs = {"leader": Input("gello/joint_states", "sensor_msgs/msg/JointState"), "pedal": Input("p", "std_msgs/Bool")}
    terms = {name: Term("leader", name) for name in NAMES}
    motion = Leader("fr3_link0", "fr3_hand_tcp", terms, 0.2)
    from teleop_node.device import Device

    hand = Hand(Device("gello", inputs, 0.2, 0.0, Term("pedal", "data"), motion, gripper=Grip()))
    if description:
        hand.describe(description)
    arm = Arm(Chain(urdf(), "fr3_link0", "fr3_hand_tcp").pose(HOME), HOME)

    def play(now: float, held: float, arm: Arm = arm) -> Any:
        hand.take(now, "leader", Reading(leader))
        hand.take(now, "pedal", Reading({"data": held}))
        return hand.step(now, arm)

    return hand, arm, play


def test_29_leader_that_stands_elsewhere_is_refused_with_the_largest_error() -> None:
    leader = {**HOME, "fr3_joint2": HOME["fr3_joint2"] + 0.1, "fr3_joint4": HOME["fr3_joint4"] - 0.5}
    _, _, play = make_hand(leader)
    play(1.0, 0.0)
    handling = play(1.02, 1.0)
    assert not handling.active
    assert (
        handling.note == "the leader's fr3_joint4 is -0.5 rad from the arm's, at most 0.2: bring the leader to the arm"
    )
    leader["fr3_joint4"] = HOME["fr3_joint4"] - 0.1
    handling = play(1.04, 1.0)
    assert handling.active
    expected = Chain(urdf(), "fr3_link0", "fr3_hand_tcp").pose(leader)
    assert handling.target.position == pytest.approx(expected.position)


def test_wrong_tip_is_noticed_by_the_measured_pose() -> None:
    _, arm, play = make_hand(dict(HOME), urdf().replace(str(FLANGE + TIP), str(FLANGE)))
    play(1.0, 0.0, arm)
    note = play(1.02, 1.0, arm).note
    assert "from fr3_link0 to fr3_hand_tcp is not what the supervisor measures: 0.103 m" in note


def test_leader_without_a_description_or_without_a_joint_waits() -> None:
    _, arm, play = make_hand(dict(HOME), "")
    play(1.0, 0.0)
    assert play(1.02, 1.0).note == "no robot_description yet"
    _, arm, play = make_hand({name: q for name, q in HOME.items() if name != "fr3_joint7"})
    play(1.0, 0.0)
    assert play(1.02, 1.0).note.startswith("leader.fr3_joint7: the device has fr3_joint1")
    _, arm, play = make_hand(dict(HOME))
    play(1.0, 0.0)
    assert play(1.02, 1.0, Arm(arm.pose, {})).note.startswith("the arm's joint states have no fr3_joint1")
