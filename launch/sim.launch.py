"""The simulated arm behind its driver's topics, and on demand the scripted person who takes over when asked.

Beside monitor.launch.py; franka.launch.py and widowx.launch.py with ``sim:=true`` start both. It is not respawned, as a
real driver is not.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.conditions import IfCondition
from launch.substitutions import EqualsSubstitution, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

PACKAGE = "vla_monitor"
STOP_WITHIN = "8"  # s: the simulated arm outlives the supervisor's hold


def generate_launch_description() -> LaunchDescription:
    """What ``ros2 launch`` runs."""
    params = PathJoinSubstitution([FindPackageShare(PACKAGE), "config", "sim.yaml"])
    robot = {"robot": ParameterValue(LaunchConfiguration("arm"), value_type=str)}
    common = {
        "package": PACKAGE,
        "namespace": LaunchConfiguration("namespace"),
        "parameters": [LaunchConfiguration("sim_params_file"), robot],
        "output": "screen",
        "sigterm_timeout": STOP_WITHIN,
    }
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "arm", default_value="franka", choices=["franka", "widowx"], description="arm on the table"
            ),
            DeclareLaunchArgument("teleop", default_value="", description="scripted: with the scripted person"),
            DeclareLaunchArgument("namespace", default_value="", description="namespace of all nodes and topics"),
            DeclareLaunchArgument(
                "sim_params_file", default_value=params, description="parameters of sim_node and scripted_teleop_node"
            ),
            Node(executable="sim_node", name="sim_node", **common),
            Node(
                executable="scripted_teleop_node",
                name="scripted_teleop_node",
                condition=IfCondition(EqualsSubstitution(LaunchConfiguration("teleop"), "scripted")),
                **common,
            ),
        ]
    )
