"""A robot made of doubles, and the policy and the monitor that a test plays before a supervisor of its own process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from supervisor_node.arms import open_arm
from supervisor_node.arms.base import Arm
from supervisor_node.arms.description import urdf_of
from supervisor_node.arms.profile import find_profile, load_profile
from vla_uq.contracts import Chunk, Key, Score, Space
from vla_uq.geometry import matrix_of, quaternion, rotation_vector

RUN = bytes(range(16))
NAMES = ("x", "y", "z", "rx", "ry", "rz")
HORIZON, EXECUTE = 16, 6
PATIENT = {"repeat": 1.0, "switch": 3.0, "fault": 5.0, "lost": 3.0}
"""Escalation, s: robot, policy and monitor share one interpreter on a machine that may be busy."""
SLOW = {"rate": 10.0, "escalation": PATIENT}
AROUND_THE_GANTRY = {"lower": [-0.5, -0.5, 0.0], "upper": [0.5, 0.5, 0.8]}
"""m: CRISP's double stands at x = 0."""


def commissioned(profile: dict[str, Any]) -> dict[str, Any]:
    """What tests on an arm would have found that is a little better than its profile says; without, no guard arms."""
    braking = np.array(profile["braking"]["deceleration"])

    def figure(worst: Any) -> dict[str, Any]:
        return {"n": 2, "worst": np.atleast_1d(worst).tolist(), "spread": np.zeros_like(np.atleast_1d(worst)).tolist()}

    return {
        "date": "2026-01-31",
        "noise": figure(0.3 * np.array(profile["rest"]["noise"])),
        "droop": figure(0.5 * np.array(profile["rest"]["tolerance"])),
        "speed": np.ones(len(braking)).tolist(),
        "distance": figure(0.5 / braking),
        "deceleration": figure(braking),
        "lag": figure(0.5 * np.array(profile["braking"]["lead"])),
        "rest": figure(0.3),
        "silence": figure(0.4),
        "grip": figure(0.0),
        "data_sheet": braking.tolist(),
    }


@dataclass(frozen=True)
class Kind:
    """One arm of the contract.

    :param profile: its profile in config/arms.
    :param description: the URDF that the robot publishes, of :data:`supervisor_node.arms.description.KNOWN`.
    :param changes: sections of the profile that the double needs otherwise.
    :param command: topic of its commands.
    """

    name: str
    profile: str
    description: str
    command: str
    changes: dict[str, Any]


KINDS = {
    kind.name: kind
    for kind in (
        Kind("franka_crisp", "franka_crisp_sim", "", "target_pose", {"hold_controller": "", **SLOW}),
        Kind("franka_crisp_fr3", "franka_crisp", "", "target_pose", {"workspace": AROUND_THE_GANTRY, "rate": 10.0}),
        Kind("franka_jtc", "franka_jtc", "fr3", "fr3_arm_controller/joint_trajectory", SLOW),
        Kind("widowx_xs", "widowx_xs", "wx250s", "wx250s/commands/joint_group", SLOW),
        Kind("widowx_jtc", "widowx_jtc", "wx250s", "wx250s/arm_controller/joint_trajectory", SLOW),
    )
}


class ArmBench:
    """Robot, policy and monitor; ``robot`` is the double, ``arm`` the pure arm with the same profile.

    :param ros: the test's node, whose callbacks run while it spins.
    :param spin_until: see :class:`Ros`.
    """

    def __init__(self, kind: Kind, rig: Any, ros: Any, folder: Path) -> None:
        content = yaml.safe_load(find_profile(kind.profile).read_text(encoding="utf-8")) | kind.changes
        for driver in ("jtc", "xs"):
            if driver in content:
                content[driver]["reach"] = 0.2  # two control steps
        content["commissioned"] = commissioned(content)
        self.kind, self.ros, self.profile_file = kind, ros, folder / f"{kind.name}.yaml"
        self.profile_file.write_text(yaml.safe_dump(content), encoding="utf-8")
        profile = load_profile(str(self.profile_file))
        self.arm: Arm = open_arm(str(self.profile_file))
        if kind.description:
            assert profile.kinematics is not None
            urdf = urdf_of(kind.description, profile.joints.names, profile.kinematics.tip)
            assert self.arm.describe(urdf) == ""
        self.robot = self._make(rig, urdf if kind.description else "")
        rig.start()
        self.profile = profile
        self.goal = np.zeros(3)
        self.gripper, self.value, self.speed = 1.0, 0.2, 0.012
        self.policy = True
        self.pose: Any = None
        self.states: list[Any] = []
        self.records: list[tuple[float, Any]] = []
        self._sequence, self._step, self._episode, self._infer_at = 7, 0, "", math.inf
        self._connect()

    def _make(self, rig: Any, urdf: str) -> Any:
        if self.kind.name in ("franka_crisp", "franka_crisp_fr3"):
            return getattr(rig, self.kind.name)()
        if self.kind.name == "franka_jtc":
            return rig.franka_jtc(description=urdf, forward=self._forward)
        return getattr(rig, self.kind.name)(description=urdf)

    def _forward(self, q: Any) -> tuple[Any, Any]:
        pose = self.arm.pose(np.asarray(q, float))
        assert pose is not None
        return pose.position, quaternion(pose.rotation)

    def _connect(self) -> None:
        from geometry_msgs.msg import PoseStamped
        from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
        from vla_monitor.msg import ActionChunk, CommandRecord, FailureScore, MonitorInfo, PolicyInfo, SupervisorState
        from vla_monitor.srv import ResetPolicy

        node, latched = self.ros.node, QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._chunk = node.create_publisher(ActionChunk, "policy_node/chunk", 1)
        self._score = node.create_publisher(FailureScore, "monitor_node/score", 1)
        self._policy = node.create_publisher(PolicyInfo, "policy_node/info", latched)
        self._monitor = node.create_publisher(MonitorInfo, "monitor_node/info", latched)
        node.create_service(ResetPolicy, "policy_node/reset_policy", self._reset)
        node.create_subscription(SupervisorState, "supervisor_node/state", self.states.append, latched)
        node.create_subscription(CommandRecord, "supervisor_node/command", self._on_record, 100)
        topic = self.profile.sources.pose or "current_pose"
        node.create_subscription(PoseStamped, topic, self._on_pose, qos_profile_sensor_data)
        node.create_timer(0.1, self._announce)
        node.create_timer(0.01, self._infer)

    # -- policy and monitor ----------------------------------------------------------------------------------------
    def _on_record(self, message: Any) -> None:
        self.records.append((time.monotonic(), message))

    def _on_pose(self, message: Any) -> None:
        p, o = message.pose.position, message.pose.orientation
        self.pose = (np.array([p.x, p.y, p.z]), matrix_of([o.x, o.y, o.z, o.w]), message.header.stamp)

    def _reset(self, request: Any, response: Any) -> Any:
        response.ok, response.run_id, response.first_sequence = True, np.frombuffer(RUN, np.uint8), self._sequence
        self._episode, self._step, self._infer_at = request.episode_id, 0, time.monotonic() + 0.02
        return response

    def _announce(self) -> None:
        from vla_monitor.msg import MonitorInfo, PolicyInfo

        common = {"space": int(Space.EE_POSE), "horizon": HORIZON, "dim": 6, "execute_steps": EXECUTE}
        common["run_id"] = np.frombuffer(RUN, np.uint8)
        for kind, publisher, more in (
            (PolicyInfo, self._policy, {"fingerprint": "f", "reference": 2, "names": list(NAMES)}),
            (MonitorInfo, self._monitor, {"policy_fingerprint": "f"}),
        ):
            message = kind(**common, **more)
            message.step_duration.nanosec = round(self.profile.period * 1e9)
            publisher.publish(message)

    def _infer(self) -> None:
        """Absolute poses from where the grip is towards the goal, at a steady speed."""
        if not self.policy or self.pose is None or time.monotonic() < self._infer_at:
            return
        from vla_monitor.msg import ActionChunk, DetectorScore, FailureScore

        self._infer_at = time.monotonic() + EXECUTE * self.profile.period
        position, rotation, stamp = self.pose
        way = self.goal - position
        length = float(np.linalg.norm(way))
        steps = np.minimum(self.speed * (np.arange(HORIZON) + 1), length)
        unit = way / length if length > 1e-9 else way
        actions = np.hstack([position + steps[:, None] * unit, np.tile(rotation_vector(rotation), (HORIZON, 1))])
        key = Key(RUN, self._sequence, self._episode, self._step)
        chunk = Chunk(
            key, Space.EE_POSE, NAMES, np.float32(actions), np.full(HORIZON, self.gripper, np.float32),
            self.profile.period, EXECUTE, frame_id=self.profile.frame, observation_age=0.001,
            observation_stamp=(stamp.sec, stamp.nanosec),
        )  # fmt: skip
        self._sequence, self._step = self._sequence + 1, self._step + 1
        self._chunk.publish(chunk.fill(ActionChunk()))
        score = Score(key, chunk.digest, self.value, 1.0, alarm=self.value > 1.0)
        self._score.publish(score.fill(FailureScore(), DetectorScore))

    # -- shortcuts -------------------------------------------------------------------------------------------------
    @property
    def parameters(self) -> dict[str, Any]:
        """Of the supervisor's process."""
        late = {"joints_timeout": 0.5, "heartbeat_timeout": 1.0, "max_resumes_per_episode": 50}
        return {"robot": str(self.profile_file), **late}

    @property
    def state(self) -> int:
        return int(self.states[-1].state) if self.states else 0

    def until(self, state: int, timeout: float = 40.0) -> Any:
        def reached() -> bool:
            return self.state == state

        end = time.monotonic() + timeout
        self.ros.spin_until(lambda: reached() or time.monotonic() > end, timeout + 5)
        seen = [(each.state, each.text, tuple(each.failing_guards)) for each in self.states]
        assert reached(), f"state {state} after {timeout:g} s: {list(dict.fromkeys(seen[-100:]))}"
        return self.states[-1]

    def trigger(self, name: str, timeout: float = 10.0) -> Any:
        from std_srvs.srv import Trigger

        return self.ros.call(Trigger, f"supervisor_node/{name}", Trigger.Request(), timeout)

    def start(self) -> None:
        """Begin an episode, once the guards allow it."""
        from vla_monitor.msg import SupervisorState
        from vla_monitor.srv import StartEpisode

        self.until(SupervisorState.IDLE)
        answer = self.ros.call(StartEpisode, "supervisor_node/start_episode", StartEpisode.Request())
        assert answer.ok, answer.message
        self.go_on(lambda: self.state == SupervisorState.AUTONOMOUS, "the episode begins")

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        end = time.monotonic() + seconds
        self.ros.spin_until(lambda: until() or time.monotonic() > end, seconds + 5)

    def go_on(self, done: Callable[[], bool], what: str, timeout: float = 30.0) -> None:
        """Wait, and resume what was halted because this machine was late: that is not what a contract is about."""
        from vla_monitor.msg import SupervisorState as State

        late = (State.REASON_INTERNAL, State.REASON_ROBOT_STALE, State.REASON_MONITOR_STALE, State.REASON_POLICY_STALE)
        end = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < end, f"{what}: not within {timeout:g} s; {self.states[-1].text}"
            self.run(0.02)
            if self.state == State.HALTED and self.states[-1].reason in (*late, State.REASON_QUEUE_EMPTY):
                self.run(0.6)
                self.trigger("resume")

    @property
    def grip(self) -> np.ndarray:
        """Where the grip is (3,) m."""
        return np.asarray(self.pose[0])

    def after(self, moment: float) -> list[Any]:
        """Records of commands that came after a moment."""
        return [record for at, record in self.records if at > moment]

    def openings(self) -> float:
        """How far the gripper is open, 0 to 1."""
        robot = self.robot
        if self.kind.name == "franka_crisp":
            return float((robot.arm.openings or [1.0])[-1])
        if self.kind.name in ("franka_crisp_fr3", "franka_jtc"):
            return float(robot.gripper.width / 0.08)
        finger = robot.arm.motors.gripper.finger if self.kind.name == "widowx_xs" else float(robot.fingers.q[0])
        return (finger - 0.015) / 0.022
