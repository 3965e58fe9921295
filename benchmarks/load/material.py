"""What flows through supervisor and monitor under load: real traces of the shipped policy, harmless chunks, an arm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from supervisor_node.announcements import EE_NAMES, MonitorAnnouncement, PolicyAnnouncement
from supervisor_node.values import JointState, Motion, Pose
from vla_uq.bundle import Bundle, PolicyIdentity
from vla_uq.contracts import Chunk, Key, Reference, Space, Trace
from vla_uq.geometry import rotation_matrix, rotation_vector
from vla_uq.wire import Array

Vector = NDArray[np.float64]
RUN = bytes(range(16))
HOME = np.array([0, -0.161, 0, -2.4446, 0, 2.2268, math.pi / 4])
CENTRE = np.array([0.0, 0.0, 0.3])
NAMES = (*(f"fr3_joint{number}" for number in range(1, 8)), "fr3_finger_joint1", "fr3_finger_joint2")
LAG = 0.05
"""Time constant (s) with which the arm follows its target."""
FLOWING = ("features", "flow_times", "velocities")
"""Tensors that are repeated; those of the cameras are not, for a picture that repeats is an alarm."""


@dataclass(frozen=True, eq=False)
class Material:
    """Traces of successive inferences, used again and again.

    :param fingerprint: of the policy that made them.
    """

    bundle: Bundle
    tensors: tuple[Mapping[str, Array], ...]

    @property
    def policy(self) -> PolicyIdentity:
        return self.bundle.policy

    def chunk(self, key: Key) -> Chunk:
        """A small motion to and fro (m), different in every chunk, in the shape that the policy announces."""
        horizon, dim = self.policy.horizon, self.policy.dim
        actions = np.zeros((horizon, dim), np.float32)
        actions[:, 0] = 0.01 * np.cos(0.7 * key.sequence + 0.1 * np.arange(horizon))
        gripper = np.ones(horizon, np.float32)
        times = self.policy.step_duration, self.policy.execute_steps
        return Chunk(key, Space.EE_DELTA, EE_NAMES, actions, gripper, *times, frame_id="base", observation_age=0.001)

    def trace(self, chunk: Chunk) -> Trace:
        """What the policy was thinking."""
        tensors = self.tensors[chunk.key.sequence % len(self.tensors)]
        return Trace(chunk.key, chunk.digest, self.policy.fingerprint, tensors)

    def announcements(self) -> tuple[PolicyAnnouncement, MonitorAnnouncement]:
        """Of policy and monitor."""
        p = self.policy
        shape = p.horizon, p.dim, p.step_duration, p.execute_steps
        policy = PolicyAnnouncement(RUN, p.fingerprint, p.space, Reference.MEASURED, EE_NAMES, *shape)
        return policy, MonitorAnnouncement(RUN, p.fingerprint, p.space, *shape)


def material(inferences: int = 16, seed: int = 0) -> Material:
    """Ask the shipped policy about the first picture of as many scenes."""
    from policy_node import backends
    from policy_node.session import PolicySession
    from sim_node.bed import Bed
    from sim_node.tasks import of_split
    from vla_cli.shipped import bundle_file, policy_folder

    bed, tasks = Bed(), of_split("trained")
    session = PolicySession(backends.load("", policy_folder(None)), "base", RUN)
    found = []
    for number in range(inferences):
        bed.reset(tasks[number % len(tasks)].instruction, seed + number)
        session.reset("load", bed.instruction, seed + number)
        tensors = session.trace(session.decide(bed.observe())).tensors
        found.append({name: tensors[name] for name in FLOWING if name in tensors})
    return Material(Bundle.load(bundle_file(None)), tuple(found))


class StandIn:
    """A light arm: its first six joints are its grip frame's pose, and it follows its target with a lag."""

    def __init__(self) -> None:
        self.q, self._target = HOME.copy(), HOME.copy()

    def obey(self, motion: Motion) -> None:
        """Take a command's motion."""
        if motion.joints is not None:
            self._target = motion.joints.copy()
        elif motion.pose is not None:
            self._target = HOME.copy()
            self._target[:3] += motion.pose.position - CENTRE
            self._target[3:6] += rotation_vector(motion.pose.rotation)

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.q = self.q + (self._target - self.q) * (1 - math.exp(-seconds / LAG))

    def joints(self, stamp: tuple[int, int]) -> JointState:
        """Joints, fingers open."""
        return JointState(NAMES, np.concatenate([self.q, [0.04, 0.04]]), stamp)

    def pose(self, stamp: tuple[int, int]) -> Pose:
        """The grip frame."""
        off = self.q - HOME
        return Pose(CENTRE + off[:3], rotation_matrix(off[3:6]), stamp)
