"""What is recorded, as data: relative topic, message type, how it is offered, how it is thinned."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


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
    Topic("deadman_node/tripped", "std_msgs/msg/Bool", Offer.LATCHED),
    Topic("diagnostics", "diagnostic_msgs/msg/DiagnosticArray"),
    Topic("target_pose", "geometry_msgs/msg/PoseStamped"),
    Topic("target_joint", "sensor_msgs/msg/JointState"),
    Topic("gripper/gripper_position_controller/commands", "std_msgs/msg/Float64MultiArray"),
    Topic("joint_states", "sensor_msgs/msg/JointState", Offer.SENSOR),
    Topic("current_pose", "geometry_msgs/msg/PoseStamped", Offer.SENSOR),
    Topic("sim_node/sim_state", OURS + "SimState", Offer.SENSOR),
    Topic("agentview/image_raw", "sensor_msgs/msg/Image", Offer.SENSOR, image=10.0),
    Topic("wrist/image_raw", "sensor_msgs/msg/Image", Offer.SENSOR, image=10.0),
    Topic("monitor_node/overlay", "sensor_msgs/msg/Image", Offer.SENSOR, image=10.0),
)
"""On every robot, those of a Franka under CRISP among them."""
XS = "interbotix_xs_msgs/msg/"
OF_ROBOT: dict[str, tuple[Topic, ...]] = {
    "widowx": (
        Topic("wx250s/commands/joint_group", XS + "JointGroupCommand"),
        Topic("wx250s/commands/joint_single", XS + "JointSingleCommand"),
        Topic("wx250s/joint_states", "sensor_msgs/msg/JointState"),
    )
}
"""What some robots have beside."""
