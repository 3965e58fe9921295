"""What is recorded, as data: relative topic, message type, how it is offered, how it is thinned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from supervisor_node.arms import description_topic
from supervisor_node.arms.profile import Profile


class Offer(Enum):
    """Quality of service that a topic is offered with (a subscription must not ask for more)."""

    RELIABLE = "reliable"
    LATCHED = "latched"
    SENSOR = "sensor"


@dataclass(frozen=True)
class Topic:
    """One recorded topic.

    :param image: recorded as JPEG on ``<name>/compressed``, at most so many a second; 0: recorded as it is.
    """

    name: str
    type: str
    offer: Offer = Offer.RELIABLE
    image: float = 0.0


OURS = "vla_monitor/msg/"
TOPICS = (
    Topic("policy_node/chunk", OURS + "ActionChunk"),
    Topic("policy_node/trace", OURS + "PolicyTrace"),
    Topic("policy_node/info", OURS + "PolicyInfo", Offer.LATCHED),
    Topic("monitor_node/score", OURS + "FailureScore"),
    Topic("monitor_node/info", OURS + "MonitorInfo", Offer.LATCHED),
    Topic("supervisor_node/state", OURS + "SupervisorState", Offer.LATCHED),
    Topic("supervisor_node/events", OURS + "EpisodeEvent"),
    Topic("supervisor_node/command", OURS + "CommandRecord"),
    Topic("supervisor_node/halt", "std_msgs/msg/Bool"),
    Topic("supervisor_node/intervention", "std_msgs/msg/Bool"),
    Topic("supervisor_node/teleop/target_pose", "geometry_msgs/msg/PoseStamped"),
    Topic("supervisor_node/teleop/gripper", "std_msgs/msg/Float64MultiArray"),
    Topic("supervisor_node/teleop/active", "std_msgs/msg/Bool"),
    Topic("deadman_node/command", OURS + "CommandRecord"),
    Topic("deadman_node/tripped", "std_msgs/msg/Bool", Offer.LATCHED),
    Topic("diagnostics", "diagnostic_msgs/msg/DiagnosticArray"),
    Topic("sim_node/sim_state", OURS + "SimState", Offer.SENSOR),
    Topic("agentview/image_raw", "sensor_msgs/msg/Image", Offer.SENSOR, image=10.0),
    Topic("wrist/image_raw", "sensor_msgs/msg/Image", Offer.SENSOR, image=10.0),
    Topic("monitor_node/overlay", "sensor_msgs/msg/Image", Offer.SENSOR, image=10.0),
)
"""On every robot."""
XS = "interbotix_xs_msgs/msg/"
_TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
_JOINTS, _POSE = "sensor_msgs/msg/JointState", "geometry_msgs/msg/PoseStamped"


def topics_of(profile: Profile) -> tuple[Topic, ...]:
    """Everything that is recorded of an arm: what every robot has, what its driver is sent, and where it is seen."""
    return tuple({topic.name: topic for topic in (*TOPICS, *_commands(profile), *_seen(profile))}.values())


def _commands(profile: Profile) -> Iterator[Topic]:
    """What the arm's driver sends. A gripper's action is no topic: what it was asked for stands in the records."""
    if profile.kind == "crisp":
        yield Topic("target_pose", _POSE)
        yield Topic("target_joint", _JOINTS)
        if profile.gripper_action is None and profile.gripper_controller is None:
            yield Topic("gripper/gripper_position_controller/commands", "std_msgs/msg/Float64MultiArray")
    for controller in (profile.jtc, profile.gripper_controller):
        if controller is not None:
            yield Topic(f"{controller.controller}/joint_trajectory", _TRAJECTORY)
    if profile.xs is not None:
        yield Topic(f"{profile.xs.prefix}/commands/joint_group", XS + "JointGroupCommand")
        yield Topic(f"{profile.xs.prefix}/commands/joint_single", XS + "JointSingleCommand")


def _seen(profile: Profile) -> Iterator[Topic]:
    """Where the arm is seen; a pose that follows from the joints is published by the supervisor."""
    for name in profile.sources.joint_states:
        yield Topic(name, _JOINTS, Offer.SENSOR)
    yield Topic(profile.sources.pose or "current_pose", _POSE, Offer.SENSOR)
    if description_topic(profile):
        yield Topic(description_topic(profile), "std_msgs/msg/String", Offer.LATCHED)
