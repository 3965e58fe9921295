"""The simulated robots as the commands know them: which profile, policy and wiring belong to each. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vla_policy.manifest import WEIGHTS, WIDOWX_WEIGHTS
from vla_uq.errors import InputError

FRANKA = "franka"


@dataclass(frozen=True)
class Robot:
    """What differs from one robot to another, outside of the simulation itself.

    :param profile: of ``config/arms``.
    :param weights: folder of the policy that ships for it, with its bundle.
    :param joints: of the arm, the first in its joint states.
    :param joint_states: topic.
    :param arguments: ROS arguments of the nodes that must know the robot, by process name.
    """

    profile: str
    weights: Path
    joints: int
    joint_states: str = "joint_states"
    arguments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


_WIDOWX_PROFILE = "robot:=widowx_xs_sim"
ROBOTS = {
    FRANKA: Robot("franka_crisp_sim", WEIGHTS, 7),
    "widowx": Robot(
        "widowx_xs_sim",
        WIDOWX_WEIGHTS,
        6,
        "wx250s/joint_states",
        {
            "sim_node": ("-p", "robot:=widowx"),
            "scripted_teleop_node": ("-p", "robot:=widowx"),
            "supervisor_node": ("-p", _WIDOWX_PROFILE),
            "deadman_node": ("-p", _WIDOWX_PROFILE),
            "policy_node": (
                *("-p", "fingers:=[left_finger, -right_finger]"),
                *("-r", "joint_states:=wx250s/joint_states"),
            ),
        },
    ),
}


def robot_of(name: str) -> Robot:
    """:raises InputError: when there is no such robot."""
    if name not in ROBOTS:
        raise InputError("unknown robot", where="robot", expected=" | ".join(ROBOTS), found=repr(name))
    return ROBOTS[name]
