"""The robots that the bed can build, by name."""

from __future__ import annotations

from sim_node.panda import PANDA
from sim_node.robot import Robot
from sim_node.tasks import FRANKA
from sim_node.widowx.model import WIDOWX
from vla_uq.errors import InputError

ROBOTS: dict[str, Robot] = {FRANKA: PANDA, "widowx": WIDOWX}


def robot_of(name: str) -> Robot:
    """:raises InputError: when there is no such robot."""
    if name not in ROBOTS:
        raise InputError("unknown robot", where="robot", expected=" | ".join(ROBOTS), found=repr(name))
    return ROBOTS[name]
