"""Which driver serves which kind of arm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data

from supervisor_node.arms.base import Arm
from supervisor_node.arms.profile import Profile
from supervisor_node.drivers.base import Driver, Qualities
from supervisor_node.drivers.crisp import CrispDriver
from supervisor_node.drivers.jtc import JtcDriver
from supervisor_node.drivers.services import interfaces
from supervisor_node.drivers.xs import XsDriver

_QUALITIES = Qualities(QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL), qos_profile_sensor_data)

DRIVERS: dict[str, type[Driver]] = {"crisp": CrispDriver, "jtc": JtcDriver, "xs": XsDriver}


def open_driver(node: Any, arm: Arm, step: Callable[..., None]) -> Driver:
    """The driver of an arm.

    :param node: the ROS node.
    :param step: takes inputs of the supervisor that cannot wait for the driver's next report.
    :raises InputError: a message package that the robot needs is not installed.
    """
    for module in _needed(arm.profile):
        interfaces(module)  # before anything is made: a node that cannot be configured leaves nothing behind
    return DRIVERS[arm.profile.kind](node, arm, _QUALITIES, step)


def _needed(profile: Profile) -> list[str]:
    """Modules of message packages that a robot needs and this project does not bring."""
    needed = {
        "control_msgs.action": profile.gripper_action,
        "control_msgs.msg": profile.jtc,
        "controller_manager_msgs.srv": profile.manager,
        "franka_msgs.action": profile.franka,
        "interbotix_xs_msgs.srv": profile.xs,
    }
    return [module for module, part in needed.items() if part is not None]
