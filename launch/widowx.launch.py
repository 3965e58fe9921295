"""A WidowX-250s: the simulated one, or one whose driver runs in another terminal.

``ros2 launch vla_monitor widowx.launch.py sim:=true``, or for a real arm, in two terminals:

``ros2 launch vla_monitor widowx.launch.py driver:=true``
``ros2 launch vla_monitor widowx.launch.py weights:=my_policy bundle:=my.bundle.safetensors mode:=shadow``
"""

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, PythonExpression
from launch_ros.actions import PushRosNamespace
from launch_ros.substitutions import FindPackageShare

from supervisor_node.arms.profile import find_profile, load_profile
from vla_policy.manifest import FILE, WIDOWX_WEIGHTS
from vla_uq.errors import InputError

PACKAGE = "vla_monitor"
MODEL = "wx250s"
DRIVERS = {
    "xs": ("interbotix_xsarm_control", "xsarm_control.launch.py"),
    "jtc": ("interbotix_xsarm_ros_control", "xsarm_ros_control.launch.py"),
}
"""The vendor's package and launch file, by kind of profile."""
FINGERS = "[left_finger, -right_finger]"  # mirror images in the joint states
FLAGS = ["true", "false"]


def driver(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The vendor's driver, under the namespace and the robot's name.

    :raises InputError: it is not installed, or the arm has none.
    """
    sim, robot = (LaunchConfiguration(name).perform(context) for name in ("sim", "robot"))
    kind = load_profile(str(find_profile(robot))).kind
    if sim == "true" or kind not in DRIVERS:
        raise InputError(
            "no driver to launch",
            where="driver:=true",
            expected=f"a profile of kind {' or '.join(DRIVERS)}, and sim:=false",
            found=f"{robot} of kind {kind}, sim:={sim}",
        )
    package, file = DRIVERS[kind]
    try:
        get_package_share_directory(package)
    except PackageNotFoundError:
        raise InputError(
            "package is not installed",
            where=package,
            remedy="build https://github.com/Interbotix/interbotix_ros_manipulators in a workspace, and source it",
        ) from None
    return [
        GroupAction(
            [
                PushRosNamespace(LaunchConfiguration("namespace")),
                IncludeLaunchDescription(
                    PathJoinSubstitution([FindPackageShare(package), "launch", file]),
                    launch_arguments={"robot_model": MODEL, "robot_name": MODEL, "use_rviz": "false"}.items(),
                ),
            ]
        )
    ]


def check_weights(context: LaunchContext) -> None:
    """:raises InputError: no weights were given, and none ship."""
    given = LaunchConfiguration("weights").perform(context)
    if given == str(WIDOWX_WEIGHTS) and not (WIDOWX_WEIGHTS / FILE).is_file():
        raise InputError(
            "no policy weights",
            where=str(WIDOWX_WEIGHTS / FILE),
            found="nothing",
            remedy="give weights:= a folder that `vla-monitor train-policy` wrote, and bundle:= its bundle",
        )


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
                default_value=PythonExpression(["'widowx_xs_sim' if '", sim, "' == 'true' else 'widowx_xs'"]),
                description="arm profile: widowx_xs, widowx_jtc, widowx_xs_sim, or a file",
            ),
            DeclareLaunchArgument(
                "fingers", default_value=FINGERS, description="joints that add up to the fingers' distance"
            ),
            DeclareLaunchArgument(
                "weights",
                default_value=str(WIDOWX_WEIGHTS),
                description="the policy's weights; default: the WidowX's own",
            ),
            DeclareLaunchArgument(
                "bundle",
                default_value=PathJoinSubstitution([LaunchConfiguration("weights"), "bundle.safetensors"]),
                description="the monitor's bundle; default: the one beside the weights",
            ),
            DeclareLaunchArgument(
                "namespace", default_value="", description="namespace of everything: one for each arm"
            ),
            OpaqueFunction(function=driver, condition=IfCondition(alone)),
            GroupAction(  # what is set inside stays inside: another arm may follow
                [
                    OpaqueFunction(function=check_weights),
                    IncludeLaunchDescription(
                        PathJoinSubstitution([launch, "monitor.launch.py"]),
                        launch_arguments={"robot": robot}.items(),
                    ),
                    IncludeLaunchDescription(
                        PathJoinSubstitution([launch, "sim.launch.py"]),
                        launch_arguments={"arm": "widowx"}.items(),
                        condition=IfCondition(sim),
                    ),
                ],
                condition=UnlessCondition(alone),
            ),
        ]
    )
