"""The nodes as processes of their own, over DDS."""

from __future__ import annotations

import copy
import functools
import signal

import numpy as np
import pytest

pytestmark = pytest.mark.ros
TASK = "put the red cube in the basket"
GRIPPER = "gripper/gripper_position_controller/commands"


def stamp_of(message) -> tuple[int, int]:
    return message.header.stamp.sec, message.header.stamp.nanosec


class Arm:
    """What a commander of the arm hears and says."""

    def __init__(self, ros) -> None:
        from geometry_msgs.msg import PoseStamped
        from rclpy.qos import qos_profile_sensor_data
        from sensor_msgs.msg import Image, JointState
        from std_msgs.msg import Float64MultiArray
        from vla_monitor.msg import SimState

        self.ros, self.heard = ros, {}
        topics = {
            "joint_states": JointState,
            "current_pose": PoseStamped,
            "agentview/image_raw": Image,
            "wrist/image_raw": Image,
            "sim_node/sim_state": SimState,
        }
        for name, kind in topics.items():
            self.heard[name] = []
            ros.node.create_subscription(kind, name, self.heard[name].append, qos_profile_sensor_data)
        self.pose = ros.node.create_publisher(PoseStamped, "target_pose", 10)
        self.joint = ros.node.create_publisher(JointState, "target_joint", 10)
        self.gripper = ros.node.create_publisher(Float64MultiArray, GRIPPER, 10)

    def ready(self) -> None:
        publishers = (self.pose, self.joint, self.gripper)
        self.ros.spin_until(lambda: all(p.get_subscription_count() for p in publishers), 20, "the arm to listen")
        self.ros.spin_until(lambda: all(self.heard.values()), 20, "the arm to speak")

    def reset(self, task: str, seed: int, disturbance: str = ""):
        from vla_monitor.srv import ResetScene

        request = ResetScene.Request(task=task, seed=seed, disturbance=disturbance)
        return self.ros.call(ResetScene, "sim_node/reset_scene", request)

    def forget(self) -> None:
        for heard in self.heard.values():
            heard.clear()

    def whole(self, seen: tuple[int, int] | None) -> bool:
        """All parts of an observation other than ``seen`` are there."""
        newest = [heard[-1] if heard else None for heard in self.heard.values()]
        stamps = {stamp_of(part) for part in newest if part is not None}
        return None not in newest and len(stamps) == 1 and stamps != {seen}

    def answer(self, pose, shift, opening: float, stamp=None) -> None:
        """Move by ``shift`` (m) from a measured pose."""
        from std_msgs.msg import Float64MultiArray

        target = copy.deepcopy(pose)
        if stamp is not None:
            target.header.stamp.sec, target.header.stamp.nanosec = stamp
        p = target.pose.position
        p.x, p.y, p.z = (float(a + b) for a, b in zip((p.x, p.y, p.z), shift, strict=True))
        self.pose.publish(target)
        self.gripper.publish(Float64MultiArray(data=[opening]))


@pytest.fixture
def arm(ros, spawn):
    def start(**params) -> Arm:
        arm = Arm(ros)
        arm.process = spawn("sim_node.driver", params=params)
        arm.ready()
        return arm

    return start


def test_real_time_rates_and_stamps(arm, ros):
    import time

    it = arm()
    it.forget()
    start = time.monotonic()
    ros.spin_until(lambda: len(it.heard["joint_states"]) >= 300, 15, "three seconds of joint states")
    took = time.monotonic() - start
    assert took > 2.5, "not faster than real time"
    states = it.heard["joint_states"]
    assert states[0].name[:1] == ["fr3_joint1"] and states[0].name[7:] == ["fr3_finger_joint1", "fr3_finger_joint2"]
    assert len(states[0].position) == len(states[0].velocity) == 9
    gaps = np.diff([sec + 1e-9 * nanosec for sec, nanosec in map(stamp_of, states)])
    assert np.median(gaps) == pytest.approx(0.01, abs=0.002)
    stamps = set(map(stamp_of, states))
    pictures = [stamp_of(image) for image in it.heard["agentview/image_raw"]]
    assert 0.1 < len(pictures) / len(states) < 0.25
    assert len(stamps.intersection(pictures)) >= 0.7 * len(pictures)
    assert len(set(pictures).intersection(map(stamp_of, it.heard["wrist/image_raw"]))) >= 0.7 * len(pictures)
    image = it.heard["wrist/image_raw"][-1]
    assert (image.height, image.width, image.encoding, len(image.data)) == (256, 256, "rgb8", 256 * 256 * 3)
    assert np.frombuffer(image.data, np.uint8).std() > 10
    assert it.process.stop(signal.SIGTERM) == 0


def test_commands_move_the_arm_until_a_second_publisher_freezes_it(arm, ros):
    it = arm()
    assert it.reset(TASK, 1).ok
    poses = it.heard["current_pose"]

    def x() -> float:
        return float(poses[-1].pose.position.x)

    it.answer(poses[-1], (0.08, 0, 0), 0.0)
    start = x()
    ros.spin_until(lambda: x() > start + 0.06, 5, "the arm to follow")
    from geometry_msgs.msg import PoseStamped

    ros.node.create_publisher(PoseStamped, "target_pose", 10)
    ros.spin_until(lambda: ros.node.count_publishers("target_pose") == 2, 5)
    before = x()
    for _ in range(50):
        it.answer(poses[-1], (-0.08, 0, 0), 0.0)
        ros.executor.spin_once(timeout_sec=0.01)
    assert abs(x() - before) < 0.03


def test_reset_answers_with_what_to_do_or_why_not(arm):
    it = arm()
    answer = it.reset("put the black bowl on the plate", 5, "push")
    assert answer.ok and answer.instruction == "put the black bowl on the plate" and answer.horizon == 180
    answer = it.reset("make coffee", 5)
    assert not answer.ok and "make coffee" in answer.message
    answer = it.reset("open the front drawer", 5, "push")
    assert not answer.ok and answer.message.startswith("disturbance:")
    it.ros.spin_until(lambda: it.heard["sim_node/sim_state"][-1].task == "put the black bowl on the plate")
    state = it.heard["sim_node/sim_state"][-1]
    assert (state.seed, state.disturbance, state.step, state.success) == (5, "push", 0, False)
    assert it.process.stop(signal.SIGINT) == 0


def play_in_lockstep(it: Arm, steps: int) -> list[bytes]:
    """Answer every observation once; what was observed."""
    rng, seen, trace = np.random.default_rng(0), None, []
    while len(trace) < steps:
        it.ros.spin_until(functools.partial(it.whole, seen), 5, "the next observation")
        joints, pose, *pictures, state = (heard[-1] for heard in it.heard.values())
        seen = stamp_of(joints)
        positions = np.array([*joints.position, *joints.velocity, *state.qpos, *state.qvel, *seen])
        trace.append(positions.tobytes() + b"".join(bytes(picture.data) for picture in pictures))
        it.answer(pose, rng.uniform(-0.03, 0.03, 3), float(len(trace) % 7 > 3))
    return trace


def test_lockstep_gives_the_same_bytes_twice(arm, spawn, ros):
    traces = []
    it = arm(lockstep=True)
    for _ in range(2):
        ros.spin_until(lambda: ros.node.count_publishers("joint_states") == 1, 5)
        it.forget()
        assert it.reset(TASK, 42, "push").ok
        it.forget()  # before the reset it ran in real time
        traces.append(play_in_lockstep(it, 40))
        assert it.process.stop(signal.SIGINT) == 0
        if len(traces) < 2:
            ros.spin_until(lambda: ros.node.count_publishers("joint_states") == 0, 10)
            it.process = spawn("sim_node.driver", params={"lockstep": True})
            it.forget()
            it.ready()
    first, second = traces
    assert [a == b for a, b in zip(first, second, strict=True)] == [True] * 40
    assert len(set(first)) == 40


def test_lockstep_repeats_what_stands_and_takes_no_answer_to_anything_else(arm, ros):
    it = arm(lockstep=True)
    assert it.reset(TASK, 3).ok
    it.forget()
    ros.spin_until(lambda: len(it.heard["joint_states"]) >= 3, 5, "repetitions for those who come late")
    assert len(set(map(stamp_of, it.heard["joint_states"]))) == 1
    pose = it.heard["current_pose"][-1]
    stands = stamp_of(pose)
    it.answer(pose, (0, 0, 0), 1.0, stamp=(stands[0], 1))
    it.forget()
    ros.spin_until(lambda: len(it.heard["current_pose"]) >= 3, 5)
    assert {stamp_of(heard) for heard in it.heard["current_pose"]} == {stands}
    it.answer(pose, (0, 0, 0), 1.0, stamp=stands)
    ros.spin_until(lambda: stamp_of(it.heard["current_pose"][-1]) == (stands[0], 50_000_000), 5, "the next step")


@pytest.mark.parametrize(
    ("params", "env", "words"),
    [
        ({"task": "make coffee"}, {}, "make coffee"),
        ({"state_rate": 33}, {}, "state_rate"),
        ({"seed": -1}, {}, "seed"),
        ({}, {"__EGL_VENDOR_LIBRARY_FILENAMES": "/nonexistent", "MUJOCO_GL": "egl"}, "cannot render"),
        ({}, {"MUJOCO_GL": "cuneiform"}, "cannot load MuJoCo"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(spawn, wait_until, params, env, words):
    node = spawn("sim_node.driver", params=params, env=env)
    assert wait_until(lambda: node.process.poll() is not None, 20) is True
    assert node.process.returncode == 2
    lines = node.text().splitlines()
    assert len(lines) == 1 and lines[0].startswith("sim_node: ") and words in lines[0]


def test_teleop_device_shows_its_deadman_and_takes_over_when_asked(arm, ros, spawn):
    from geometry_msgs.msg import PoseStamped
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from std_msgs.msg import Bool
    from std_srvs.srv import SetBool
    from vla_monitor.msg import SupervisorState

    it = arm()
    assert it.reset(TASK, 3).ok
    leases, poses, calls = [], [], []
    ros.node.create_subscription(Bool, "supervisor_node/teleop/active", lambda m: leases.append(m.data), 10)
    ros.node.create_subscription(PoseStamped, "supervisor_node/teleop/target_pose", poses.append, 10)

    def intervene(request, response):
        calls.append(request.data)
        response.success = True
        return response

    ros.node.create_service(SetBool, "supervisor_node/set_intervention", intervene)
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    latched = ros.node.create_publisher(SupervisorState, "supervisor_node/state", qos)
    device = spawn("sim_node.teleop.driver", params={"reaction_delay": 0.3})
    ros.spin_until(lambda: len(leases) > 10, 20, "the lease")
    assert not any(leases) and not poses
    state = SupervisorState(state=SupervisorState.HALTED, takeover_requested=True, episode_id="one")
    ros.spin_until(latched.get_subscription_count, 10)
    latched.publish(state)
    ros.spin_until(lambda: calls, 10, "the takeover")
    assert calls == [True] and leases[-1]
    measured, first = it.heard["current_pose"][-1].pose.position, poses[0].pose.position
    assert abs(first.x - measured.x) + abs(first.y - measured.y) + abs(first.z - measured.z) < 0.02
    state.state = SupervisorState.TELEOP
    latched.publish(state)
    count = len(poses)
    ros.spin_until(lambda: len(poses) > count + 20, 5, "targets")
    it.process.stop()
    ros.spin_until(lambda: not leases[-1], 5, "the deadman to be let go when nothing is seen")
    assert device.stop(signal.SIGINT) == 0
