"""Policy, monitor, supervisor and backup deadman for a robot whose driver already runs.

``ros2 launch vla_monitor monitor.launch.py robot:=franka_crisp_sim bundle:=my.bundle.safetensors mode:=shadow``

The robot's driver is launched apart from this, so that Ctrl-C here does not kill it beside the supervisor's hold.
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

PACKAGE = "vla_monitor"
NO_SAFETY_FUNCTION = (
    "vla_monitor is no safety function (ISO 10218, ISO 13849) and replaces no emergency stop: "
    "the robot's own e-stop must be in reach."
)
STOP_WITHIN = "5"  # s after Ctrl-C: time to hold, to measure rest and to say so, before launch gets rough
OVERRIDES = {
    "policy_node": ("back_end", "weights"),
    "monitor_node": ("bundle",),
    "supervisor_node": ("robot", "mode"),
    "deadman_node": ("robot",),
}
"""Launch arguments that set a node's parameter of the same name; an empty one leaves what the parameter file says."""


def nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The four nodes, with the arguments that were given laid over the parameter file."""

    def value(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    common = {"use_sim_time": value("use_sim_time") == "true"}
    return [
        Node(
            package=PACKAGE,
            executable=name,
            name=name,
            namespace=value("namespace"),
            parameters=[value("params_file"), common, {key: value(key) for key in keys if value(key)}],
            output="screen",
            sigterm_timeout=STOP_WITHIN,
        )
        for name, keys in OVERRIDES.items()
    ]


def generate_launch_description() -> LaunchDescription:
    """What ``ros2 launch`` runs."""
    params = PathJoinSubstitution([FindPackageShare(PACKAGE), "config", "monitor.yaml"])
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "robot", default_value="", description="arm profile: a name of config/arms, or a file"
            ),
            DeclareLaunchArgument(
                "bundle", default_value="", description="the monitor's bundle; empty: the shipped one"
            ),
            DeclareLaunchArgument(
                "weights", default_value="", description="the policy's weights; empty: the shipped ones"
            ),
            DeclareLaunchArgument(
                "back_end", default_value="", description="how the policy is run; empty: as its weights say"
            ),
            DeclareLaunchArgument(
                "mode", default_value="", description="guard: alarms halt the arm; shadow: alarms are only recorded"
            ),
            DeclareLaunchArgument("namespace", default_value="", description="namespace of all nodes and topics"),
            DeclareLaunchArgument("params_file", default_value=params, description="parameters of the four nodes"),
            DeclareLaunchArgument(
                "use_sim_time",
                default_value="false",
                choices=["true", "false"],
                description="stamps from /clock; decisions stay on steady clocks",
            ),
            LogInfo(msg=NO_SAFETY_FUNCTION),
            OpaqueFunction(function=nodes),
        ]
    )
