"""A Franka: the simulated one, or one whose driver runs in another terminal.

``ros2 launch vla_monitor franka.launch.py sim:=true``, or for a real arm, in two terminals:

``ros2 launch vla_monitor franka.launch.py driver:=true robot_ip:=172.16.0.2``
``ros2 launch vla_monitor franka.launch.py weights:=my_policy bundle:=my.bundle.safetensors mode:=shadow``
"""

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, PythonExpression
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from supervisor_node.arms.profile import find_profile, load_profile
from vla_uq.errors import InputError

PACKAGE = "vla_monitor"
BRINGUP, CONTROLLERS = "franka_bringup", "franka_fr3_moveit_config"
FLAGS = ["true", "false"]


def driver(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The vendor's driver and its trajectory controller.

    :raises InputError: it is not installed, or the arm has another one.
    """
    sim, robot = (LaunchConfiguration(name).perform(context) for name in ("sim", "robot"))
    profile = load_profile(str(find_profile(robot)))
    if sim == "true" or profile.kind != "jtc" or profile.jtc is None:
        raise InputError(
            "no driver to launch",
            where="driver:=true",
            expected="robot:=franka_jtc, or another profile of kind jtc, and sim:=false",
            found=f"{robot} of kind {profile.kind}, sim:={sim}",
            remedy="for CRISP, launch its own bring-up",
        )
    for package in (BRINGUP, CONTROLLERS):
        try:
            get_package_share_directory(package)
        except PackageNotFoundError:
            raise InputError(
                "package is not installed",
                where=package,
                remedy="build https://github.com/frankarobotics/franka_ros2 in a workspace, and source it",
            ) from None
    controllers = PathJoinSubstitution([FindPackageShare(CONTROLLERS), "config", "fr3_ros_controllers.yaml"])
    namespace = LaunchConfiguration("namespace")
    return [
        IncludeLaunchDescription(
            PathJoinSubstitution([FindPackageShare(BRINGUP), "launch", "franka.launch.py"]),
            launch_arguments={
                "robot_type": "fr3",
                "robot_ip": LaunchConfiguration("robot_ip"),
                "namespace": namespace,
                "load_gripper": "true",
                "controllers_yaml": controllers,
            }.items(),
        ),
        Node(
            package="controller_manager",
            executable="spawner",
            namespace=namespace,
            # The supervisor refuses a controller that does not interpolate; the timeout is a last resort beside it.
            arguments=[
                profile.jtc.controller,
                *("--controller-ros-args", "-p interpolate_from_desired_state:=true"),
                *("--controller-ros-args", "-p cmd_timeout:=0.5"),
            ],
            output="screen",
        ),
    ]


def generate_launch_description() -> LaunchDescription:
    """What ``ros2 launch`` runs; the arguments of the included files are taken as well."""
    launch = PathJoinSubstitution([FindPackageShare(PACKAGE), "launch"])
    sim, alone, robot = (LaunchConfiguration(name) for name in ("sim", "driver", "robot"))
    return LaunchDescription(
        [
            DeclareLaunchArgument("sim", default_value="false", choices=FLAGS, description="with the simulated arm"),
            DeclareLaunchArgument(
                "driver",
                default_value="false",
                choices=FLAGS,
                description="the vendor's driver and nothing else: Ctrl-C must not end it beside the supervisor's hold",
            ),
            DeclareLaunchArgument(
                "robot",
                default_value=PythonExpression(["'franka_crisp_sim' if '", sim, "' == 'true' else 'franka_jtc'"]),
                description="arm profile: franka_jtc, franka_crisp, franka_crisp_sim, or a file",
            ),
            DeclareLaunchArgument("robot_ip", default_value="", description="address of the arm, for driver:=true"),
            DeclareLaunchArgument(
                "namespace", default_value="", description="namespace of everything: one for each arm"
            ),
            OpaqueFunction(function=driver, condition=IfCondition(alone)),
            GroupAction(  # what is set inside stays inside: another arm may follow
                [
                    IncludeLaunchDescription(
                        PathJoinSubstitution([launch, "monitor.launch.py"]), launch_arguments={"robot": robot}.items()
                    ),
                    IncludeLaunchDescription(
                        PathJoinSubstitution([launch, "sim.launch.py"]),
                        launch_arguments={"arm": "franka"}.items(),
                        condition=IfCondition(sim),
                    ),
                ],
                condition=UnlessCondition(alone),
            ),
        ]
    )
