"""Joint targets as messages. Every one ends at rest: whoever stops sending has stopped the arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from supervisor_node.arms.profile import Profile
from supervisor_node.drivers.services import interfaces

Vector = NDArray[np.float64]


def trajectory(names: Sequence[str], q: Vector, reach: float) -> JointTrajectory:
    """One point (rad or m), reached at velocity zero after ``reach`` seconds; stamp 0: from now on."""
    point = JointTrajectoryPoint(positions=q.tolist(), velocities=[0.0] * len(q))
    point.time_from_start.sec, point.time_from_start.nanosec = divmod(round(reach * 1e9), 10**9)
    return JointTrajectory(joint_names=list(names), points=[point])


def group_command(group: str, q: Vector) -> Any:
    """A ``JointGroupCommand`` (rad), reached within the time profile that the driver was given."""
    return interfaces("interbotix_xs_msgs.msg").JointGroupCommand(name=group, cmd=q.astype(np.float32).tolist())


def joint_target(profile: Profile, q: Vector) -> tuple[Any, str, Any]:
    """Type, topic and message of a joint target on an arm behind a trajectory controller or xs_sdk.

    :param q: (n,) rad, in the profile's order.
    """
    if profile.jtc is not None:
        message = trajectory(profile.joints.names, q, profile.jtc.reach)
        return JointTrajectory, f"{profile.jtc.controller}/joint_trajectory", message
    assert profile.xs is not None
    group = group_command(profile.xs.group, q)
    return type(group), f"{profile.xs.prefix}/commands/joint_group", group
