"""Everything around the supervisor's process, played by the test over DDS."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest

RUN = bytes(range(16))


class Peers:
    """Arm, policy, monitor and teleop device on one node; each can be switched off."""

    def __init__(self, ros: Any, bench: Any, chunk_of: Any, score_of: Any) -> None:
        from geometry_msgs.msg import PoseStamped
        from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
        from sensor_msgs.msg import JointState
        from std_msgs.msg import Bool, Float64MultiArray
        from vla_monitor.msg import ActionChunk, CommandRecord, FailureScore, MonitorInfo, PolicyInfo, SupervisorState
        from vla_monitor.srv import ResetPolicy

        self.ros, self.plant, self._bench = ros, bench.plant, bench
        self._chunk_of, self._score_of = chunk_of, score_of
        self.robot = self.policy = self.monitor = True
        self.bend_chunk = self.bend_score = lambda message: message
        self.lease: bool | None = None
        self.value = 0.2
        self.sequence, self.step, self.episode, self.infer_at = 7, 0, "", math.inf
        self.states: list[Any] = []
        self.targets: list[tuple[float, Any]] = []
        self.holds: list[tuple[float, Any]] = []
        self.records: list[Any] = []
        self.alarmed_at = math.inf
        self.felt_at = time.monotonic()
        node, sensor = ros.node, qos_profile_sensor_data
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._joints = node.create_publisher(JointState, "joint_states", sensor)
        self._pose = node.create_publisher(PoseStamped, "current_pose", sensor)
        self._chunk = node.create_publisher(ActionChunk, "policy_node/chunk", 1)
        self._score = node.create_publisher(FailureScore, "monitor_node/score", 1)
        self._policy = node.create_publisher(PolicyInfo, "policy_node/info", latched)
        self._monitor = node.create_publisher(MonitorInfo, "monitor_node/info", latched)
        self._lease = node.create_publisher(Bool, "supervisor_node/teleop/active", 1)
        self._device = node.create_publisher(PoseStamped, "supervisor_node/teleop/target_pose", 1)
        node.create_service(ResetPolicy, "policy_node/reset_policy", self._reset)
        node.create_subscription(SupervisorState, "supervisor_node/state", self.states.append, latched)
        node.create_subscription(PoseStamped, "target_pose", self._on_target, 10)
        node.create_subscription(JointState, "target_joint", self._on_hold, 10)
        node.create_subscription(Float64MultiArray, "gripper/gripper_position_controller/commands", lambda m: None, 10)
        node.create_subscription(CommandRecord, "supervisor_node/command", self.records.append, 100)
        node.create_timer(0.01, self._feel)
        node.create_timer(0.1, self._announce)

    # -- the arm ---------------------------------------------------------------------------------------------------
    def _on_target(self, message: Any) -> None:
        self.targets.append((time.monotonic(), message))
        p = message.pose.position
        self.plant.target = self._home()
        self.plant.target[:3] += np.array([p.x, p.y, p.z]) - [0, 0, 0.3]

    def _on_hold(self, message: Any) -> None:
        self.holds.append((time.monotonic(), message))
        self.plant.target = np.asarray(message.position, float)

    def _home(self) -> Any:
        return np.array([0, -0.161, 0, -2.4446, 0, 2.2268, math.pi / 4])

    def _feel(self) -> None:
        from sensor_msgs.msg import JointState

        # By the clock: on a busy machine the timer comes late, and the arm must not slow down with it.
        now = time.monotonic()
        self.plant.advance(min(now - self.felt_at, 1.0))
        self.felt_at = now
        if not self.robot:
            return
        names = [*(f"fr3_joint{i}" for i in range(1, 8)), "fr3_finger_joint1", "fr3_finger_joint2"]
        message = JointState(name=names, position=[*self.plant.q.tolist(), 0.04, 0.04])
        message.header.stamp = self.ros.node.get_clock().now().to_msg()
        self._joints.publish(message)
        self._pose.publish(self._grip(message.header.stamp))
        if time.monotonic() >= self.infer_at and self.policy:
            self.infer()

    def _grip(self, stamp: Any) -> Any:
        from geometry_msgs.msg import PoseStamped

        message = PoseStamped()
        message.header.stamp, message.header.frame_id = stamp, "base"
        offset = self.plant.q - self._home()
        p = message.pose.position
        p.x, p.y, p.z = (float(v) for v in offset[:3] + [0, 0, 0.3])
        message.pose.orientation.w = 1.0
        return message

    # -- policy, monitor, device -----------------------------------------------------------------------------------
    def _reset(self, request: Any, response: Any) -> Any:
        response.ok, response.run_id, response.first_sequence = True, np.frombuffer(RUN, np.uint8), self.sequence
        self.episode, self.step, self.infer_at = request.episode_id, 0, time.monotonic() + 0.02
        return response

    def infer(self) -> None:
        from vla_monitor.msg import ActionChunk, DetectorScore, FailureScore

        from vla_uq.contracts import Key

        self.infer_at = time.monotonic() + 0.3
        chunk = self._chunk_of(Key(RUN, self.sequence, self.episode, self.step), observation_age=0.001)
        chunk.actions[:, 5] = 0
        chunk = self.bend_chunk(chunk)
        self.sequence, self.step = self.sequence + 1, self.step + 1
        self._chunk.publish(chunk.fill(ActionChunk()))
        if self.monitor:
            score = self.bend_score(self._score_of(chunk, self.value))
            if not score.passes:
                self.alarmed_at = min(self.alarmed_at, time.monotonic())
            self._score.publish(score.fill(FailureScore(), DetectorScore))

    def _announce(self) -> None:
        from vla_monitor.msg import MonitorInfo, PolicyInfo

        common = {"space": 3, "horizon": 16, "dim": 6, "execute_steps": 6, "run_id": np.frombuffer(RUN, np.uint8)}
        if self.policy:
            names = ["x", "y", "z", "rx", "ry", "rz"]
            message = PolicyInfo(fingerprint="f", reference=2, names=names, **common)
            message.step_duration.nanosec = 50_000_000
            self._policy.publish(message)
        if self.monitor:
            message = MonitorInfo(policy_fingerprint="f", **common)
            message.step_duration.nanosec = 50_000_000
            self._monitor.publish(message)
        if self.lease is not None:
            self.hand()

    def hand(self) -> None:
        from std_msgs.msg import Bool

        self._lease.publish(Bool(data=bool(self.lease)))
        self._device.publish(self._grip(self.ros.node.get_clock().now().to_msg()))

    # -- shortcuts -------------------------------------------------------------------------------------------------
    @property
    def state(self) -> int:
        return int(self.states[-1].state) if self.states else 0

    def until(self, state: int, timeout: float = 10.0) -> Any:
        end = time.monotonic() + timeout
        self.ros.spin_until(lambda: self.state == state or time.monotonic() > end, timeout + 5)
        last = self.states[-1] if self.states else None
        assert self.state == state, (
            f"no state {state} in {timeout:g} s: {last and (last.state, last.text, last.failing_guards)}"
        )
        return last

    def trigger(self, name: str) -> Any:
        from std_srvs.srv import Trigger

        return self.ros.call(Trigger, f"supervisor_node/{name}", Trigger.Request())

    def start(self) -> Any:
        from vla_monitor.srv import StartEpisode

        return self.ros.call(StartEpisode, "supervisor_node/start_episode", StartEpisode.Request(instruction="stack"))

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.ros.spin_until(lambda: time.monotonic() > end, seconds + 5)


@pytest.fixture
def peers(ros: Any, bench: Any, chunk_of: Any, score_of: Any) -> Peers:
    return Peers(ros, bench, chunk_of, score_of)
