"""Everything around a real supervisor and a real monitor, over DDS: an arm, a policy, an operator; and a fire hose."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from vla_monitor.msg import ActionChunk, CommandRecord, FailureScore, PolicyInfo, PolicyTrace, SupervisorState, Tensor
from vla_monitor.srv import EndEpisode, ResetPolicy

from benchmarks.load.material import NAMES, RUN, Material, StandIn
from supervisor_node import messages
from supervisor_node.values import Motion, Stamp
from vla_cli.demo.director import LATCHED, Director
from vla_uq.contracts import Key
from vla_uq.wire import set_seconds

S = SupervisorState
GRIPPER = "gripper/gripper_position_controller/commands"
STOPS = (S.HALTED, S.FAULT)
READY, START = 30.0, 5.0
STATE_PERIOD, INFO_PERIOD = 0.01, 0.1


class Peer:
    """Plays arm, policy and operator on the director's node, whenever that spins."""

    def __init__(self, director: Director, material: Material) -> None:
        self.director, self.material, self._arm = director, material, StandIn()
        self.sent_at: list[float] = []
        """When the supervisor published each command (s, its own stamp of sending)."""
        self._episode, self._inference, self.sequence = "", 0, 0
        self._felt = time.monotonic()
        self._infer_at = math.inf
        node, sensor, kept = director.node, qos_profile_sensor_data, QoSProfile(depth=10)
        self.joints = node.create_publisher(JointState, "joint_states", sensor)
        self._pose = node.create_publisher(PoseStamped, "current_pose", sensor)
        self.chunk = node.create_publisher(ActionChunk, "policy_node/chunk", kept)
        self.trace = node.create_publisher(PolicyTrace, "policy_node/trace", kept)
        self.score = node.create_publisher(FailureScore, "monitor_node/score", kept)
        self.teleop = node.create_publisher(PoseStamped, "supervisor_node/teleop/target_pose", kept)
        self._info = node.create_publisher(PolicyInfo, "policy_node/info", LATCHED)
        node.create_service(ResetPolicy, "policy_node/reset_policy", self._on_reset)
        node.create_subscription(PoseStamped, "target_pose", self._on_pose, 10)
        node.create_subscription(JointState, "target_joint", self._on_joint, 10)
        node.create_subscription(Float64MultiArray, GRIPPER, lambda message: None, 10)
        node.create_subscription(CommandRecord, "supervisor_node/command", self._on_command, 100)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(STATE_PERIOD, self._feel_and_infer, clock=steady)
        node.create_timer(INFO_PERIOD, self._announce, clock=steady)

    # -- what comes ------------------------------------------------------------------------------------------------
    def _on_pose(self, message: PoseStamped) -> None:
        self._arm.obey(Motion(pose=messages.pose(message)))

    def _on_joint(self, message: JointState) -> None:
        self._arm.obey(Motion(joints=np.asarray(message.position, np.float64)))

    def _on_command(self, message: CommandRecord, info: Any) -> None:
        self.sent_at.append(1e-9 * info["source_timestamp"])

    def _on_reset(self, request: Any, response: Any) -> Any:
        response.ok, response.run_id, response.first_sequence = True, np.frombuffer(RUN, np.uint8), self.sequence
        self._episode, self._inference = request.episode_id, 0
        self._infer_at = time.monotonic() + 0.02 if request.episode_id else math.inf
        return response

    # -- what goes -------------------------------------------------------------------------------------------------
    def _feel_and_infer(self) -> None:
        self.feel()
        now, policy = time.monotonic(), self.material.policy
        if now >= self._infer_at:
            self._infer_at = now + policy.execute_steps * policy.step_duration
            self._infer()

    def feel(self) -> None:
        """Joints and pose of the arm as it stands now."""
        now = time.monotonic()
        self._arm.advance(min(now - self._felt, 0.1))
        self._felt = now
        stamp: Stamp = divmod(time.time_ns(), 10**9)
        state = self._arm.joints(stamp)
        header = messages.header(stamp, "base")
        self._pose.publish(PoseStamped(header=header, pose=messages.pose_message(self._arm.pose(stamp))))
        self.joints.publish(JointState(header=header, name=list(NAMES), position=state.positions.tolist()))

    def _announce(self) -> None:
        policy, _ = self.material.announcements()
        message = PolicyInfo(
            run_id=np.frombuffer(RUN, np.uint8),
            fingerprint=policy.fingerprint,
            space=int(policy.space),
            reference=int(policy.reference),
            names=list(policy.names),
            horizon=policy.horizon,
            dim=policy.dim,
            execute_steps=policy.execute_steps,
        )
        set_seconds(message.step_duration, policy.step_duration)
        self._info.publish(message)

    def _infer(self) -> None:
        chunk = self.material.chunk(self.next_key())
        self.chunk.publish(chunk.fill(ActionChunk()))
        self.trace.publish(self.material.trace(chunk).fill(PolicyTrace(), Tensor))

    def next_key(self) -> Key:
        """Of the next inference of the running episode."""
        key = Key(RUN, self.sequence, self._episode, self._inference)
        self.sequence, self._inference = self.sequence + 1, self._inference + 1
        return key

    # -- the operator ----------------------------------------------------------------------------------------------
    def pause(self) -> None:
        """The policy infers nothing until the next episode."""
        self._infer_at = math.inf

    def end(self) -> None:
        """End the episode."""
        if self.director.state not in (S.IDLE, S.UNKNOWN):
            self.director.end_episode(EndEpisode.Request.DISCARD, "load")

    def autonomous(self) -> bool:
        """Start an episode, ending one that has halted; whether the policy moves the arm."""
        director = self.director
        if director.state in STOPS:
            director.end_episode(EndEpisode.Request.DISCARD, "load")
        director.wait_ready(READY)
        director.start_episode("load")
        return director.watch(lambda: director.state == S.AUTONOMOUS, START)
