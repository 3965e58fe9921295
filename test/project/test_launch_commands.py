"""What the real ``ros2 launch`` starts from each launch file: stand-ins take the nodes' places and note how they were
called.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from ros2_launch import FILES, Launcher, Note

from supervisor_node.arms.profile import find_profile, load_profile
from vla_cli.demo.system import NODES
from vla_cli.robots import ROBOTS
from vla_policy.manifest import FILE, WEIGHTS, WIDOWX_WEIGHTS

pytestmark = pytest.mark.drill
FOUR = ["deadman_node", "monitor_node", "policy_node", "supervisor_node"]
GIVEN = (f"weights:={WEIGHTS}", f"bundle:={WEIGHTS / 'bundle.safetensors'}")
Make = Callable[..., Launcher]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Launcher] = []

    def new(**exits: int) -> Launcher:
        made.append(Launcher(tmp_path / "prefix", 0))
        made[-1].prepare(real=False, exits=exits)
        return made[-1]

    yield new
    for launcher in made:
        launcher.close()


def started(launcher: Launcher, count: int, wait_until: Callable[..., object], *arguments: str) -> dict[str, Note]:
    """Launch, wait for so many processes, Ctrl-C; notes by namespace and name."""
    launch = launcher.start(*arguments)
    wait_until(lambda: len(launcher.notes()) >= count or launch.process.poll() is not None, 60, launch.text())
    assert launch.interrupt() == 0, launch.text()
    assert not launch.wait_gone()
    found = {f"{note.rules.get('__ns', '').rstrip('/')}/{note.rules['__node']}": note for note in launcher.notes()}
    assert len(found) == len(launcher.notes())
    return found


def test_show_args(make: Make) -> None:
    launcher = make()
    for file in FILES:
        answer = launcher.ask("launch", "vla_monitor", file, "--show-args")
        assert answer.returncode == 0, answer.stderr
        assert "'namespace':" in answer.stdout, f"{file}: arguments of included files are listed too"
        assert "no description given" not in answer.stdout


@pytest.mark.parametrize("robot", ROBOTS)
def test_the_demo_is_wired_as_make_demo(make: Make, wait_until: Callable[..., object], robot: str) -> None:
    found = started(make(), len(NODES), wait_until, "demo.launch.py", f"robot:={robot}", *GIVEN)
    assert sorted(found) == sorted(f"/{name}" for name in NODES)
    for name in NODES:
        note, arguments = found[f"/{name}"], ROBOTS[robot].arguments.get(name, ())
        wanted = dict(argument.split(":=", 1) for argument in arguments[1::2])
        flags = dict(zip(wanted, arguments[::2], strict=True))
        parameters = {key: yaml.safe_load(text) for key, text in wanted.items() if flags[key] == "-p"}
        assert parameters == {key: note.parameters[key] for key in parameters}
        rules = {key: text for key, text in wanted.items() if flags[key] == "-r"}
        assert {key: text for key, text in note.rules.items() if not key.startswith("__")} == rules
    assert found["/supervisor_node"].parameters["robot"] == ROBOTS[robot].profile
    assert found["/policy_node"].parameters["weights"] == str(WEIGHTS)


@pytest.mark.parametrize(
    ("file", "profile", "pose"),
    [
        ("franka.launch.py", "franka_jtc", {"current_pose": "franka_robot_state_broadcaster/current_pose"}),
        ("franka.launch.py", "franka_crisp", {}),
        ("widowx.launch.py", "widowx_xs", {}),
        ("widowx.launch.py", "widowx_jtc", {}),
    ],
)
def test_real_arms(
    make: Make, wait_until: Callable[..., object], file: str, profile: str, pose: dict[str, str]
) -> None:
    given = () if profile in ("franka_jtc", "widowx_xs") else (f"robot:={profile}",)
    arguments = (*given, *GIVEN, "mode:=shadow", "teleop:=gello", "autostart:=false")
    found = started(make(), 5, wait_until, file, *arguments)
    assert sorted(found) == sorted(f"/{name}" for name in [*FOUR, "teleop_node"])
    arm, policy = load_profile(str(find_profile(profile))), found["/policy_node"]
    for name in ("supervisor_node", "deadman_node"):
        assert found[f"/{name}"].parameters["robot"] == profile
    assert found["/supervisor_node"].parameters["mode"] == "shadow"
    assert found["/teleop_node"].parameters["map"] == "gello"
    assert not any(found[f"/{name}_node"].parameters["autostart"] for name in ("policy", "monitor", "supervisor"))
    assert policy.parameters["frame_id"] == arm.frame
    assert {name.removeprefix("-") for name in policy.parameters["fingers"]} >= set(arm.gripper.joints)
    rules = {key: text for key, text in policy.rules.items() if not key.startswith("__")}
    assert rules == {"joint_states": arm.sources.joint_states[-1], **pose}


@pytest.mark.parametrize(
    ("part", "names"),
    [("policy", ["monitor_node", "policy_node"]), ("arm", ["deadman_node", "supervisor_node", "teleop_node"])],
)
def test_one_of_two_computers(make: Make, wait_until: Callable[..., object], part: str, names: list[str]) -> None:
    given = (f"only:={part}", "network:=127.0.0.1", "teleop:=joy", "robot:=franka_crisp")
    found = started(make(), len(names), wait_until, "franka.launch.py", *given, *GIVEN)
    assert sorted(found) == [f"/{name}" for name in names]


def test_a_card_of_another_computer_starts_nothing(make: Make) -> None:
    launcher = make()
    answer = launcher.ask("launch", "vla_monitor", "monitor.launch.py", "network:=203.0.113.9")
    assert answer.returncode == 1 and "not a network card of this computer" in answer.stdout + answer.stderr
    assert not launcher.notes()


TWO_ARMS = """
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch.substitutions import PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

def arm(file, **arguments):
    path = PathJoinSubstitution([FindPackageShare("vla_monitor"), "launch", file])
    return GroupAction([IncludeLaunchDescription(path, launch_arguments=arguments.items())])

def generate_launch_description():
    return LaunchDescription([
        arm("franka.launch.py", namespace="left", sim="true", mode="shadow"),
        arm("widowx.launch.py", namespace="right", sim="true", weights="WEIGHTS"),
        arm("franka.launch.py", namespace="third"),
    ])
"""


def test_several_arms_in_one_launch(make: Make, wait_until: Callable[..., object], tmp_path: Path) -> None:
    """Each has its namespace, and nothing of one reaches another."""
    file = tmp_path / "arms.launch.py"
    file.write_text(TWO_ARMS.replace("WEIGHTS", str(WEIGHTS)))
    found = started(make(), 14, wait_until, str(file))
    sides = {"/left": "franka_crisp_sim", "/right": "widowx_xs_sim", "/third": "franka_jtc"}
    for side, profile in sides.items():
        names = [*FOUR, "sim_node"] if side != "/third" else FOUR
        assert sorted(name for name in found if name.startswith(side)) == sorted(f"{side}/{name}" for name in names)
        assert found[f"{side}/supervisor_node"].parameters["robot"] == profile
        assert found[f"{side}/deadman_node"].parameters["robot"] == profile
    assert [found[f"{side}/supervisor_node"].parameters["mode"] for side in sides] == ["shadow", "guard", "guard"]
    assert [found[f"{side}/policy_node"].parameters["weights"] for side in sides] == ["", str(WEIGHTS), ""]
    assert [found[f"{side}/sim_node"].parameters["robot"] for side in ("/left", "/right")] == ["franka", "widowx"]
    assert found["/right/policy_node"].parameters["fingers"] == ["left_finger", "-right_finger"]
    assert found["/third/policy_node"].parameters["fingers"] == ["fr3_finger_joint1", "fr3_finger_joint2"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("franka.launch.py", "driver:=true"), "franka_bringup: package is not installed; build "),
        (("widowx.launch.py", "driver:=true"), "interbotix_xsarm_control: package is not installed; build "),
        (("widowx.launch.py", "driver:=true", "robot:=widowx_jtc"), "interbotix_xsarm_ros_control: package is not "),
        (("franka.launch.py", "driver:=true", "sim:=true"), "driver:=true: no driver to launch"),
        (("widowx.launch.py", "driver:=true", "sim:=true"), "driver:=true: no driver to launch"),
        (("franka.launch.py", "robot:=franca"), "franca.yaml: no such arm profile"),
        (("demo.launch.py", "robot:=baxter"), "baxter"),
        (("widowx.launch.py",), "" if (WIDOWX_WEIGHTS / FILE).is_file() else "no policy weights; found nothing; give "),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_said_and_nothing_starts(make: Make, arguments: tuple[str, ...], said: str) -> None:
    if not said:
        pytest.skip("the WidowX's weights are there")
    launcher = make()
    launch = launcher.start(*arguments)
    assert launch.process.wait(60) == 1
    assert said in launch.text()
    assert not launcher.notes()


VENDOR = """
from launch import LaunchDescription
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

def generate_launch_description():
    names = NAMES
    parameters = [{name: LaunchConfiguration(name) for name in names}]
    return LaunchDescription([Node(package="vendor", executable="driver", name="driver", parameters=parameters)])
"""


def test_the_vendors_driver_and_nothing_else(make: Make, wait_until: Callable[..., object]) -> None:
    """Included with its arguments where it is installed."""
    launcher = make()
    launcher.add_package("vendor", "driver")
    launcher.add_package("controller_manager", "spawner")
    launcher.add_package("franka_fr3_moveit_config")
    names = ["robot_type", "robot_ip", "namespace", "load_gripper", "controllers_yaml"]
    launcher.add_package("franka_bringup", "", "franka.launch.py", VENDOR.replace("NAMES", repr(names)))
    names = ["robot_model", "robot_name", "use_rviz"]
    launcher.add_package(
        "interbotix_xsarm_control", "", "xsarm_control.launch.py", VENDOR.replace("NAMES", repr(names))
    )
    for arguments, count in (
        (("franka.launch.py", "driver:=true", "robot_ip:=10.0.0.1", "namespace:=left"), 2),
        (("widowx.launch.py", "driver:=true", "namespace:=right"), 3),
    ):
        launch = launcher.start(*arguments)
        wait_until(lambda n=count: len(launcher.notes()) >= n, 60, "the driver")
        assert launch.interrupt() == 0, launch.text()
    spawner = next(note for note in launcher.notes() if note.name == "spawner")
    franka, widowx = (note for note in launcher.notes() if note.name == "driver")
    yaml_file = launcher.folder / "share" / "franka_fr3_moveit_config" / "config" / "fr3_ros_controllers.yaml"
    assert franka.parameters == {
        "robot_type": "fr3",
        "robot_ip": "10.0.0.1",
        "namespace": "left",
        "load_gripper": True,
        "controllers_yaml": str(yaml_file),
    }
    assert spawner.argv[0] == "fr3_arm_controller" and spawner.rules["__ns"] == "/left"
    assert "-p interpolate_from_desired_state:=true" in spawner.argv
    assert widowx.parameters == {"robot_model": "wx250s", "robot_name": "wx250s", "use_rviz": False}
    assert widowx.rules["__ns"] == "/right"


def test_nodes_come_back(make: Make, wait_until: Callable[..., object]) -> None:
    launcher = make(monitor_node=1, sim_node=1)
    launch = launcher.start("franka.launch.py", "sim:=true")

    def times(name: str) -> int:
        return sum(note.name == name for note in launcher.notes())

    wait_until(lambda: times("monitor_node") >= 3, 60, "a node that is started again and again")
    assert [times(name) for name in ("policy_node", "supervisor_node", "sim_node")] == [1, 1, 1]
    assert launch.interrupt() == 0
    assert not launch.wait_gone()


def test_or_stay_away(make: Make, wait_until: Callable[..., object]) -> None:
    launcher = make(monitor_node=1)
    launch = launcher.start("franka.launch.py", "respawn:=false")
    wait_until(lambda: "process has died" in launch.text(), 60, "the end of a node")
    end = time.monotonic() + 2.5
    wait_until(lambda: time.monotonic() > end)
    assert sum(note.name == "monitor_node" for note in launcher.notes()) == 1
    assert launch.interrupt() == 0


@pytest.mark.parametrize(("name", "code"), [("policy_node", 2), ("supervisor_node", 3)])
def test_what_another_try_cannot_heal_ends_the_launch(make: Make, name: str, code: int) -> None:
    launcher = make(**{name: code})
    launch = launcher.start("franka.launch.py")
    assert launch.process.wait(60) == 1
    assert f"Caught exception in launch (see debug for traceback): {name} " in launch.text()
    assert sum(note.name == name for note in launcher.notes()) == 1
    assert not launch.wait_gone()
