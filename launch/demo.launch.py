"""The whole system on a simulated arm, with the scripted person who takes over: what `make demo` plays, to play with.

``ros2 launch vla_monitor demo.launch.py robot:=widowx rviz:=true``, then start an episode:
``ros2 service call /supervisor_node/start_episode vla_monitor/srv/StartEpisode "{instruction: '...'}"``
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.substitutions import EqualsSubstitution, LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

from vla_cli.robots import FRANKA, ROBOTS, Robot

PACKAGE = "vla_monitor"


def start(name: str, robot: Robot) -> GroupAction:
    """That robot's own launch file, with the simulated arm; nothing for another robot."""
    file = PathJoinSubstitution([FindPackageShare(PACKAGE), "launch", f"{name}.launch.py"])
    given = {"sim": "true", "robot": robot.profile}
    return GroupAction(
        [IncludeLaunchDescription(file, launch_arguments=given.items())],
        condition=IfCondition(EqualsSubstitution(LaunchConfiguration("robot"), name)),
    )


def generate_launch_description() -> LaunchDescription:
    """What ``ros2 launch`` runs; the arguments of the included files are taken as well."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("robot", default_value=FRANKA, choices=list(ROBOTS), description="arm on the table"),
            DeclareLaunchArgument(
                "teleop",
                default_value="scripted",
                description="who takes over: scripted, a name of config/teleop, or a file; empty: nobody",
            ),
            *(start(name, robot) for name, robot in ROBOTS.items()),
        ]
    )
