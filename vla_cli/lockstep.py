"""The simulated arm and the supervisor in one process, one command an observation, on simulated time.

What DDS would do to a pose on its way (rotation to quaternion and back) is done here too, so that a seed gives the
same numbers in this process and over the nodes in lockstep.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from supervisor_node.announcements import MonitorAnnouncement, PolicyAnnouncement
from supervisor_node.arms import open_arm
from supervisor_node.config import Config
from supervisor_node.core import Supervisor
from supervisor_node.states import Mode, State
from supervisor_node.values import Command, Inputs, JointState, Outputs, Pose, Request, ResetAck, ResetOrder, Wish
from vla_cli.robots import FRANKA, robot_of
from vla_uq.contracts import Chunk, Score
from vla_uq.errors import InputError
from vla_uq.geometry import matrix_of, quaternion

if TYPE_CHECKING:
    from policy_node.backends import PolicySpec
    from sim_node.bed import Bed
    from vla_policy.observation import Observation
    from vla_uq.bundle import PolicyIdentity

Vector = NDArray[np.float64]
STEP_NS = 50_000_000
ARMING_STEPS = 100
"""Steps in which the supervisor must have found its guards to hold."""


class _Crisp:
    """Commands to a bed as CRISP takes them."""

    def __init__(self, bed: Bed) -> None:
        from sim_node.crisp import CrispArm

        self._arm = CrispArm(bed)

    def follow(self, command: Command, substeps: int) -> None:
        """Run the physics towards a command's target."""
        motion = command.motion
        if motion.pose is not None:
            self._arm.target_pose(motion.pose.position.tolist(), quaternion(motion.pose.rotation).tolist())
        elif motion.joints is not None:
            self._arm.target_joint((), motion.joints.tolist())
        if command.gripper is not None:
            self._arm.gripper([command.gripper])
        self._arm.advance(substeps)


class _Xs:
    """Commands to a bed as ``joint_group`` carries them, in single precision; the bed leads its gripper itself."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed

    def follow(self, command: Command, substeps: int) -> None:
        """Run the physics towards a command's target."""
        controller = self._bed.controller
        if command.motion.joints is not None:
            controller.hold_joints(command.motion.joints.astype(np.float32).astype(np.float64))
        if command.gripper is not None:
            controller.gripper = command.gripper
        self._bed.advance(substeps)


_DRIVERS: dict[str, type[_Crisp] | type[_Xs]] = {FRANKA: _Crisp, "widowx": _Xs}


class LockstepArm:
    """The bed behind its robot's driver, stepped by commands.

    :param bed: already reset.
    """

    def __init__(self, bed: Bed) -> None:
        self._bed, self.robot = bed, robot_of(bed.robot.name)
        self._driver = _DRIVERS[bed.robot.name](bed)
        self._time_ns = 0

    @property
    def stamp(self) -> tuple[int, int]:
        """Simulated time (s, ns)."""
        return divmod(self._time_ns, 10**9)

    @property
    def now(self) -> float:
        """Simulated time (s)."""
        return self._time_ns * 1e-9

    def wait(self) -> None:
        """A control step passes without anything happening."""
        self._time_ns += STEP_NS

    def execute(self, command: Command) -> None:
        """Run one control step towards a command's target."""
        from sim_node.control import SUBSTEPS

        self._driver.follow(command, SUBSTEPS)
        self.wait()

    def measured(self) -> Inputs:
        """Joints and pose as the supervisor receives them."""
        scene, robot = self._bed.scene, self._bed.robot
        positions = np.concatenate([scene.joints, scene.data.qpos[scene.fingers]])
        joints = JointState((*robot.joints, *robot.fingers), positions, self.stamp)
        return Inputs(joints=joints, pose=Pose(*self._pose(), stamp=self.stamp))

    def observe(self) -> Observation:
        """What the policy sees."""
        position, rotation = self._pose()
        return replace(self._bed.observe(self.stamp), position=position, rotation=rotation)

    def _pose(self) -> tuple[Vector, Vector]:
        from sim_node.engine import mujoco

        position, rotation = self._bed.pose()
        q = np.zeros(4)
        mujoco.mju_mat2Quat(q, np.ascontiguousarray(rotation).ravel())
        return position, matrix_of(np.roll(q, -1))


class LockstepSupervisor:
    """A fresh supervisor for one episode.

    :param mode: ``shadow`` or ``guard``.
    :param identity: the policy that the monitor's bundle was made for; None: there is no monitor (shadow only).
    """

    def __init__(self, arm: LockstepArm, mode: str, policy: PolicySpec, identity: PolicyIdentity | None) -> None:
        self._arm = arm
        config = Config(mode=Mode[mode.upper()], lockstep=True, require_monitor=identity is not None)
        self.core = Supervisor(config, open_arm(arm.robot.profile))
        monitor = None if identity is None else _monitor(identity)
        seen = Inputs(policy=_policy(policy), monitor=monitor)
        for _ in range(ARMING_STEPS):
            self.step(replace(arm.measured(), policy=seen.policy, monitor=seen.monitor))
            if self.core.state is State.IDLE:
                return
            arm.wait()
        raise InputError("the supervisor does not arm", found="; ".join(map(str, self.core.failures)))

    def step(self, inputs: Inputs) -> Outputs:
        """One step at the arm's time."""
        return self.core.step(self._arm.now, inputs)

    def start(self, instruction: str) -> ResetOrder:
        """Start the episode; the policy is to be reset as the order says, and :meth:`acknowledge` called.

        :raises InputError: when it is refused.
        """
        out = self.step(Inputs(requests=(Request(1, Wish.START, instruction),)))
        if out.reset is None:
            raise InputError("the episode was not started", found=out.replies[0].message if out.replies else "")
        return out.reset

    def acknowledge(self, run_id: bytes, first_sequence: int) -> None:
        """The policy was reset."""
        self.step(Inputs(reset_ack=ResetAck(True, "", run_id, first_sequence)))

    def look(self) -> Outputs:
        """Hand over what is measured now."""
        return self.step(self._arm.measured())

    def give(self, chunk: Chunk, score: Score | None) -> Outputs:
        """Hand over a chunk and its score."""
        return self.step(Inputs(chunk=chunk, score=score))


def _policy(spec: PolicySpec) -> PolicyAnnouncement:
    return PolicyAnnouncement(
        run_id=bytes(16),
        fingerprint=spec.fingerprint,
        space=spec.space,
        reference=spec.reference,
        names=spec.names,
        horizon=spec.horizon,
        dim=spec.dim,
        step_duration=spec.step_duration,
        execute_steps=spec.execute_steps,
    )


def _monitor(identity: PolicyIdentity) -> MonitorAnnouncement:
    return MonitorAnnouncement(
        run_id=bytes(16),
        policy_fingerprint=identity.fingerprint,
        space=identity.space,
        horizon=identity.horizon,
        dim=identity.dim,
        step_duration=identity.step_duration,
        execute_steps=identity.execute_steps,
    )
