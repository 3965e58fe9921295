"""Policy, monitor, supervisor and backup deadman for a robot whose driver already runs; on demand a device and rviz.

``ros2 launch vla_monitor monitor.launch.py robot:=franka_jtc bundle:=my.bundle.safetensors mode:=shadow``

Policy, monitor and supervisor are lifecycle nodes that configure and activate themselves, in any order: the supervisor
arms when every guard has held for a while, so that nothing has to wait for anything, and a node that is respawned joins
as at the first start. A respawned supervisor begins in UNKNOWN and resumes nothing. With ``autostart:=false`` a
lifecycle manager brings them up.

The robot's driver is launched apart from this, so that Ctrl-C here does not kill it beside the supervisor's hold.

On two computers, each starts its own part: ``only:=policy`` where the GPU is, ``only:=arm`` beside the arm.
"""

from collections.abc import Callable

import yaml
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from supervisor_node.arms.profile import find_profile, load_profile
from vla_uq.configuration import dds_environment
from vla_uq.network import dds_on_card

PACKAGE = "vla_monitor"
NO_SAFETY_FUNCTION = (
    "vla_monitor is no safety function (ISO 10218, ISO 13849) and replaces no emergency stop: "
    "the robot's own e-stop must be in reach."
)
STOP_WITHIN = "5"  # s after Ctrl-C: time to hold, to measure rest and to say so, before launch gets rough
RESPAWN_AFTER = 1.0  # s
REFUSALS = {2: "refused what it was given, see its line above", 3: "found another supervisor at work"}
"""Exit codes of what another try cannot heal: they end the launch, instead of coming back every second."""
OVERRIDES = {
    "policy_node": ("back_end", "weights", "observation"),
    "monitor_node": ("bundle",),
    "supervisor_node": ("robot", "mode"),
    "deadman_node": ("robot",),
}
"""Launch arguments that set a node's parameter of the same name; an empty one leaves what the parameter file says."""
LIFECYCLE = ("policy_node", "monitor_node", "supervisor_node")
SCRIPTED = "scripted"  # the person of sim.launch.py
PARTS = {
    "policy": ("policy_node", "monitor_node"),
    "arm": ("supervisor_node", "deadman_node", "teleop_node"),
}
"""Of two computers: traces, which are large, stay on the one; whoever commands the arm needs no network for a stop."""


def ends(name: str) -> Callable[[ProcessExited, LaunchContext], None]:
    """What to do when a process has ended: nothing, or to give up."""

    def give_up(event: ProcessExited, context: LaunchContext) -> None:
        if event.returncode in REFUSALS and not context.is_shutdown:
            raise RuntimeError(f"{name} {REFUSALS[event.returncode]}")

    return give_up


def wire_policy(robot: str, fingers: str) -> tuple[dict[str, object], list[tuple[str, str]]]:
    """What the policy must know of an arm: the frame of its poses, its fingers, and where it is seen.

    :param robot: its profile; of its sources of joint states, the last names the fingers.
    :param fingers: joints whose positions add up to the fingers' distance, a YAML list; empty: the profile's.
    :return: parameters and remappings.
    :raises InputError: there is no such profile, or it is wrong.
    """
    profile = load_profile(str(find_profile(robot)))
    seen = {"joint_states": profile.sources.joint_states[-1], "current_pose": profile.sources.pose}
    names = yaml.safe_load(fingers) if fingers else list(profile.gripper.joints)
    parameters = {"frame_id": text(profile.frame), "fingers": names}
    return parameters, [(name, topic) for name, topic in seen.items() if topic and topic != name]


def text(value: str) -> ParameterValue:
    """A parameter that is a string, also where YAML would read a number."""
    return ParameterValue(value, value_type=str)


def nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The nodes, with the arguments that were given laid over the parameter file."""

    def value(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    parameters: dict[str, dict[str, object]] = {
        name: {key: text(value(key)) for key in keys if value(key)} for name, keys in OVERRIDES.items()
    }
    for name in LIFECYCLE:
        parameters[name]["autostart"] = value("autostart") == "true"
    remappings: dict[str, list[tuple[str, str]]] = {}
    if value("robot"):
        wired, remappings["policy_node"] = wire_policy(value("robot"), value("fingers"))
        parameters["policy_node"] |= wired
    if value("teleop") not in ("", SCRIPTED):
        parameters["teleop_node"] = {"map": text(value("teleop"))}
    dds = dds_on_card(value("network")) if value("network") else dds_environment()
    part = PARTS.get(value("only"), tuple(parameters))
    started = [
        Node(
            package=PACKAGE,
            executable=name,
            name=name,
            namespace=value("namespace"),
            parameters=[value("params_file"), {"use_sim_time": value("use_sim_time") == "true"}, given],
            remappings=remappings.get(name),
            output="screen",
            sigterm_timeout=STOP_WITHIN,
            respawn=value("respawn") == "true",
            respawn_delay=RESPAWN_AFTER,
            on_exit=ends(name),
        )
        for name, given in parameters.items()
        if name in part
    ]
    return [*(SetEnvironmentVariable(name, setting) for name, setting in dds.items()), *started]


def generate_launch_description() -> LaunchDescription:
    """What ``ros2 launch`` runs."""
    share = FindPackageShare(PACKAGE)
    params = PathJoinSubstitution([share, "config", "monitor.yaml"])

    def argument(name: str, default: str | PathJoinSubstitution, description: str) -> DeclareLaunchArgument:
        choices = ["true", "false"] if default in ("true", "false") else ["", *PARTS] if name == "only" else None
        return DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)

    return LaunchDescription(
        [
            argument("robot", "", "arm profile: a name of config/arms, or a file; empty: as the parameter file says"),
            argument("bundle", "", "the monitor's bundle; empty: the shipped one"),
            argument("weights", "", "the policy's weights; empty: the shipped ones"),
            argument("back_end", "", "how the policy is run; empty: as its weights say"),
            argument("observation", "", "what the policy sees: a name of config/observations, or a file"),
            argument("mode", "", "guard: alarms halt the arm; shadow: alarms are only recorded"),
            argument("fingers", "", "joints that add up to the fingers' distance, as [a, -b]; empty: the profile's"),
            argument("teleop", "", "device to take over with: a name of config/teleop, or a file; empty: none"),
            argument("rviz", "false", "start rviz2 with rviz/demo.rviz"),
            argument("only", "", "of two computers: policy (and monitor), or arm (the rest); empty: all"),
            argument("network", "", "IPv4 address of the one network card that DDS may use; empty: all of them"),
            argument("namespace", "", "namespace of all nodes and topics: one for each arm"),
            argument("params_file", params, "parameters of the four nodes"),
            argument("use_sim_time", "false", "stamps from /clock; decisions stay on steady clocks"),
            argument("autostart", "true", "nodes configure and activate themselves; false: a lifecycle manager does"),
            argument("respawn", "true", "start a node again that ended; a supervisor then begins in UNKNOWN"),
            LogInfo(msg=NO_SAFETY_FUNCTION),
            OpaqueFunction(function=nodes),
            Node(
                package="rviz2",
                executable="rviz2",
                name="rviz2",
                namespace=LaunchConfiguration("namespace"),
                arguments=["-d", PathJoinSubstitution([share, "rviz", "demo.rviz"])],
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )
