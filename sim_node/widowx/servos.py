"""The WidowX's servos in a scene: position mode under a time profile, torque that can be switched off, a gripper's PWM.

For the bed's own use (demonstrations, rollouts) poses become joints here, by damped least squares.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim_node.control import GRIPPER_RATE
from sim_node.engine import mujoco
from sim_node.scene import TIMESTEP, Scene
from sim_node.widowx.ik import InverseKinematics
from sim_node.widowx.model import CHAIN, FINGER_CLOSED, FINGER_OPEN, LOWER, SPEED, UPPER, damping_of
from sim_node.widowx.profile import TimeProfile

Vector = NDArray[np.float64]
PROFILE_TIME, PROFILE_RAMP = 0.15, 0.05
"""Seconds of the bed's own profile: that of the supervisor's adapter."""
SQUEEZE = 250.0
"""PWM with which the bed itself opens and closes the gripper."""
FORCE = 0.06
"""Force of a finger (N) for each unit of PWM."""
BAND = 0.05
"""Openings are reached when they are so near."""
_LEAD = np.array([damping_of(joint) / joint.stiffness for joint in CHAIN])
"""Seconds by which the setpoint leads, so that damping does not make the servos lag."""


class Servos:
    """Drives a scene's WidowX towards the newest goals, and its gripper with the newest PWM.

    :ivar gripper: opening, 0 closed to 1 open, that the gripper is led to; None: the PWM stays as it was set.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.profile = TimeProfile(scene.joints, SPEED)
        self.gripper: float | None = 1.0
        self.pwm = 0.0
        self._kinematics = InverseKinematics(scene)

    def reset(self) -> None:
        """Hold the measured joints with the bed's own profile, gripper open."""
        self.profile.length[:], self.profile.ramp[:] = PROFILE_TIME, PROFILE_RAMP
        self.scene.model.opt.disableactuator = 0
        self.profile.stand(self.scene.joints)
        self.gripper, self.pwm, self.scene.opening = 1.0, 0.0, 1.0

    # -- goals -------------------------------------------------------------------------------------------------------
    def follow_pose(self, position: Vector, rotation: Vector) -> None:
        """Goal for the grip frame: (3,) m and (3, 3), base frame; a step of the joints from the last goal."""
        self.hold_joints(self._kinematics.step(self.profile.goal, position, rotation))

    def hold_joints(self, q: Vector) -> None:
        """Goal positions (n,) rad; a servo refuses one that is outside of its limits, and keeps its own."""
        inside = (q >= LOWER) & (q <= UPPER)
        self.profile.aim(np.where(inside, q, self.profile.goal))

    def set_torque(self, on: bool, joints: list[int]) -> None:
        """Switch the torque of some joints; those that get it back stand where they are."""
        groups = sum(1 << i for i in joints)
        options = self.scene.model.opt
        options.disableactuator = options.disableactuator & ~groups if on else options.disableactuator | groups
        if on:
            standing = np.isin(np.arange(len(LOWER)), joints)
            goal = np.where(standing, self.scene.joints, self.profile.goal)
            self.profile.stand(np.where(standing, self.scene.joints, self.profile.position))
            self.profile.aim(goal)

    def torque(self, joint: int) -> bool:
        """Whether a joint's torque is on."""
        return not self.scene.model.opt.disableactuator >> joint & 1

    # -- physics -----------------------------------------------------------------------------------------------------
    @property
    def opening(self) -> float:
        """Measured opening, 0 closed to 1 open."""
        return (self.scene.width / 2 - FINGER_CLOSED) / (FINGER_OPEN - FINGER_CLOSED)

    def advance(self, substeps: int) -> None:
        """Run the physics."""
        scene, model, data = self.scene, self.scene.model, self.scene.data
        for _ in range(substeps):
            if self.gripper is not None:
                self.pwm = SQUEEZE * self._way(self.gripper)
            scene.opening = float(np.clip(scene.opening + GRIPPER_RATE * np.sign(self.pwm), 0, 1))
            self.profile.advance(TIMESTEP)
            data.ctrl[:6] = self.profile.position + _LEAD * self.profile.velocity
            data.ctrl[6:] = FORCE * self.pwm
            mujoco.mj_step(model, data)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)

    def _way(self, wanted: float) -> int:
        """+1 to open, −1 to close, 0 when the opening is reached; closed, the gripper goes on squeezing."""
        if wanted <= BAND:
            return -1
        gap = min(wanted, 1 - BAND) - self.opening
        return 0 if abs(gap) < BAND else int(np.sign(gap))
