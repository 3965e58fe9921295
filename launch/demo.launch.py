"""The whole system on the simulated arm: monitor.launch.py, the arm, a scripted teleop device and, on demand, rviz.

``ros2 launch vla_monitor demo.launch.py rviz:=true``, then start an episode:
``ros2 service call /supervisor_node/start_episode vla_monitor/srv/StartEpisode "{instruction: '...'}"``
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

PACKAGE = "vla_monitor"
STOP_WITHIN = "8"  # s: the simulated arm outlives the supervisor's hold


def generate_launch_description() -> LaunchDescription:
    """What ``ros2 launch`` runs; the arguments of monitor.launch.py are taken as well."""
    share = FindPackageShare(PACKAGE)
    namespace, params = LaunchConfiguration("namespace"), LaunchConfiguration("sim_params_file")
    return LaunchDescription(
        [
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(PathJoinSubstitution([share, "launch", "monitor.launch.py"])),
            ),
            DeclareLaunchArgument(
                "sim_params_file",
                default_value=PathJoinSubstitution([share, "config", "sim.yaml"]),
                description="parameters of sim_node and scripted_teleop_node",
            ),
            DeclareLaunchArgument("teleop", default_value="true", description="start the scripted teleop device"),
            DeclareLaunchArgument("rviz", default_value="false", description="start rviz2 with rviz/demo.rviz"),
            Node(
                package=PACKAGE,
                executable="sim_node",
                name="sim_node",
                namespace=namespace,
                parameters=[params],
                output="screen",
                sigterm_timeout=STOP_WITHIN,
            ),
            Node(
                package=PACKAGE,
                executable="scripted_teleop_node",
                name="scripted_teleop_node",
                namespace=namespace,
                parameters=[params],
                output="screen",
                condition=IfCondition(LaunchConfiguration("teleop")),
            ),
            Node(
                package="rviz2",
                executable="rviz2",
                name="rviz2",
                namespace=namespace,
                arguments=["-d", PathJoinSubstitution([share, "rviz", "demo.rviz"])],
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )
