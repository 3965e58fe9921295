"""xs_sdk's command interface over a bed, with the quirks of the real one (robots_and_peers.md A2). Pure, without clock.

Commands are checked for their length only and nothing expires; a position goal is held for ever and a PWM goes on
squeezing. Without torque the arm falls, and a change of the operating mode takes the torque away for a moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim_node.bed import Bed
from sim_node.scene import TIMESTEP
from sim_node.widowx.model import CHAIN, FINGER_CLOSED, FINGER_OPEN, LOWER, SLEEP, SPEED, UPPER
from sim_node.widowx.servos import Servos

Vector = NDArray[np.float64]
ARM, GRIPPER, ALL = "arm", "gripper", "all"
NAMES = tuple(joint.name for joint in CHAIN)
POSITION, PWM = "position", "pwm"
MODE_CHANGE = 0.2
"""Seconds without torque while an operating mode is changed."""
ANGLE_UNIT, SPEED_UNIT = 2 * np.pi / 4096, 0.229 * 2 * np.pi / 60
"""What one unit of a Dynamixel's position (rad) and velocity (rad/s) register is."""
_TORQUE, _HARDWARE, _VELOCITY, _ACCELERATION = (
    "Torque_Enable",
    "Hardware_Error_Status",
    "Profile_Velocity",
    "Profile_Acceleration",
)


@dataclass(frozen=True)
class Motor:
    """One motor as ``get_robot_info`` shows it: limits rad (m for the gripper's finger), speed rad/s."""

    name: str
    number: int
    lower: float
    upper: float
    speed: float
    sleep: float
    place: int


_MOTORS = (
    *(
        Motor(name, i + 1, float(LOWER[i]), float(UPPER[i]), float(SPEED), float(SLEEP[i]), i)
        for i, name in enumerate(NAMES)
    ),
    Motor("left_finger", len(NAMES) + 1, FINGER_CLOSED, FINGER_OPEN, 1.0, 0.0, len(NAMES)),
)


class XsArm:
    """Takes commands as they arrive and runs the bed's physics towards the newest.

    Until the first goal of an episode the arm holds its joints and the episode's steps do not count, so that a push in
    mid-episode finds the arm at work. Profiles and modes are the motors' own: an episode's begin leaves them.

    :param bed: with the robot ``widowx``.
    """

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.ignored: Counter[str] = Counter()
        """Commands that changed nothing, by reason."""
        self.mode = POSITION
        """Operating mode of the arm's motors."""
        self._times = np.array([[2.0, 0.3]] * len(NAMES))
        self._commanded = False
        self._limp: dict[int, float] = {}

    @property
    def _servos(self) -> Servos:
        controller = self.bed.controller
        assert isinstance(controller, Servos), "xs_sdk drives the WidowX"
        return controller

    def reset(self, task: str, seed: int, disturbance: str) -> None:
        """Begin an episode; the arm holds still, under torque.

        :raises InputError: on an unknown task or disturbance; the scene then stays as it was.
        """
        self.bed.reset(task, seed, disturbance)
        self._servos.gripper = None
        self._apply_times()
        self._commanded = False
        self._limp = {}

    # -- commands, each returns whether it was taken -----------------------------------------------------------------
    def joint_group(self, group: str, values: Sequence[float]) -> bool:
        """Goal positions (6,) rad of the group ``arm``, in its order."""
        if group != ARM:
            return self._ignore("unknown group")
        if len(values) != len(NAMES):
            return self._ignore("wrong length")
        return self._go(np.asarray(values, float))

    def joint_single(self, name: str, value: float) -> bool:
        """Goal of one motor: the gripper's PWM, or the position of one of the arm's joints (rad)."""
        if name == GRIPPER:
            if not np.isfinite(value):
                return self._ignore("not finite")
            self._servos.pwm = float(np.clip(value, -885, 885))
            return True
        if name not in NAMES:
            return self._ignore("unknown joint")
        goal = self._servos.profile.goal.copy()
        goal[NAMES.index(name)] = value
        return self._go(goal)

    def _go(self, goal: Vector) -> bool:
        if not np.isfinite(goal).all():
            return self._ignore("not finite")
        if self.mode != POSITION:
            return self._ignore("not in position mode")
        if ((goal < LOWER) | (goal > UPPER)).any():
            self._ignore("outside of a motor's limits")  # the other motors go
        self._servos.hold_joints(goal)
        self._commanded = True
        return True

    def _ignore(self, reason: str) -> bool:
        self.ignored[reason] += 1
        return False

    # -- services: who is meant by what makes no sense is nobody, and no answer says so ------------------------------
    def motors(self, kind: str, name: str) -> list[int]:
        """Places of the motors that a request means; the gripper's comes after the arm's."""
        every = list(range(len(_MOTORS)))
        if kind == "group":
            return {ARM: every[:-1], ALL: every}.get(name, [])
        return [[*NAMES, GRIPPER].index(name)] if kind == "single" and name in (*NAMES, GRIPPER) else []

    def torque_enable(self, kind: str, name: str, enable: bool) -> None:
        """Switch torque. Without it the arm falls; with it again, it holds where it is."""
        meant = [i for i in self.motors(kind, name) if i < len(NAMES)]
        for i in meant:
            self._limp.pop(i, None)
        if meant:
            self._servos.set_torque(enable, meant)

    def set_operating_modes(self, kind: str, name: str, mode: str, velocity: int, acceleration: int) -> None:
        """Change the mode of some of the arm's motors, and their profile (ms): the torque goes and comes back."""
        meant = [i for i in self.motors(kind, name) if i < len(NAMES)]
        if not meant:
            return
        self.mode = mode
        self._times[meant] = velocity / 1000, acceleration / 1000
        self._apply_times()
        self._servos.set_torque(False, meant)
        self._limp.update(dict.fromkeys(meant, MODE_CHANGE))

    def set_register(self, kind: str, name: str, register: str, value: int) -> None:
        """Write a profile register (ms) of some motors; other registers stay as they are."""
        column = {_VELOCITY: 0, _ACCELERATION: 1}.get(register)
        if column is not None:
            self._times[[i for i in self.motors(kind, name) if i < len(NAMES)], column] = value / 1000
            self._apply_times()

    def registers(self, kind: str, name: str, register: str) -> list[int]:
        """Values of a register of some of the arm's motors; nothing for one that is not simulated."""
        meant = [i for i in self.motors(kind, name) if i < len(NAMES)]
        values = {
            _VELOCITY: [round(1000 * float(t)) for t in self._times[:, 0]],
            _ACCELERATION: [round(1000 * float(t)) for t in self._times[:, 1]],
            _TORQUE: [int(self._servos.torque(i)) for i in range(len(NAMES))],
            _HARDWARE: [0] * len(NAMES),
        }.get(register)
        return [] if values is None else [values[i] for i in meant]

    def info(self, kind: str, name: str) -> list[Motor]:
        """What is known of some motors."""
        return [_MOTORS[i] for i in self.motors(kind, name)]

    def limp(self) -> list[str]:
        """Names of the arm's motors whose torque is off."""
        return [name for i, name in enumerate(NAMES) if not self._servos.torque(i)]

    def _apply_times(self) -> None:
        profile = self._servos.profile
        profile.length[:], profile.ramp[:] = self._times.T

    # -- measured ----------------------------------------------------------------------------------------------------
    def joints(self) -> tuple[Vector, Vector]:
        """Positions (6,) rad and velocities (6,) rad/s, in whole units of the motors' registers."""
        scene = self.bed.scene
        return _whole(scene.joints, ANGLE_UNIT), _whole(scene.joint_velocities, SPEED_UNIT)

    # -- physics -----------------------------------------------------------------------------------------------------
    def advance(self, substeps: int) -> None:
        """Run the physics towards the newest goals."""
        run = self.bed.advance if self._commanded else self.bed.controller.advance
        while substeps:
            part = 1 if self._limp else substeps
            run(part)
            self._wait(part * TIMESTEP)
            substeps -= part

    def _wait(self, seconds: float) -> None:
        """Give motors their torque back whose mode was changed long enough ago."""
        for i, left in list(self._limp.items()):
            self._limp[i] = left - seconds
            if left <= seconds:
                del self._limp[i]
                self._servos.set_torque(True, [i])


def _whole(values: Vector, unit: float) -> Vector:
    return np.asarray(np.round(values / unit) * unit)
