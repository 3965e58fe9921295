"""Cameras by their serial numbers, with exposure and white balance locked, on the topics that policies look at.

``ros2 launch vla_monitor cameras.launch.py cameras:=realsense serials:='{agentview: "1234", wrist: "5678"}'``

Beside monitor.launch.py, on the computer that the cameras are plugged into. A driver that ends is started again.
"""

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from policy_node.cameras import camera_nodes
from vla_uq.errors import InputError

RESPAWN_AFTER = 2.0  # s: time for USB to find the camera again


def nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """One driver for each camera.

    :raises InputError: the file cannot be right, a camera is not there, or its driver is not installed.
    """

    def value(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    found = camera_nodes(value("cameras"), value("serials"))
    for package in {node.driver.package for node in found}:
        try:
            get_package_share_directory(package)
        except PackageNotFoundError:
            raise InputError(
                "package is not installed",
                where=package,
                remedy=f"install ros-$ROS_DISTRO-{package.replace('_', '-')}, or build it in a workspace and source it",
            ) from None
    return [
        Node(
            package=node.driver.package,
            executable=node.driver.executable,
            name="camera",
            namespace="/".join(filter(None, (value("namespace"), node.name))),
            parameters=[{key: typed(content) for key, content in node.parameters.items()}],
            remappings=list(node.remappings),
            output="screen",
            respawn=value("respawn") == "true",
            respawn_delay=RESPAWN_AFTER,
        )
        for node in found
    ]


def typed(content: object) -> object:
    """A serial number stays a text, of digits as it is."""
    return ParameterValue(content, value_type=str) if isinstance(content, str) else content


def generate_launch_description() -> LaunchDescription:
    """What ``ros2 launch`` runs."""

    def argument(name: str, default: str, description: str) -> DeclareLaunchArgument:
        choices = ["true", "false"] if default in ("true", "false") else None
        return DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)

    return LaunchDescription(
        [
            argument("cameras", "realsense", "a name of config/cameras, realsense or usb, or the path of a file"),
            argument("serials", "", "camera to serial number, as {agentview: '1234'}; empty: the file's"),
            argument("namespace", "", "namespace of all nodes and topics: that of the policy node"),
            argument("respawn", "true", "start a driver again that ended"),
            OpaqueFunction(function=nodes),
        ]
    )
