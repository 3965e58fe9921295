"""The sections of an arm's profile, as plain values: what numbers mean. Where they come from, the file says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


# -- every arm -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Joints:
    """The arm's joints, in the order of every joint vector here. Limits in rad (m for sliding joints)."""

    names: tuple[str, ...]
    lower: Vector
    upper: Vector


@dataclass(frozen=True, eq=False)
class Gripper:
    """Finger joints (m), whose sum beyond ``closed`` (m) over ``width`` (m) is the measured opening, 0 closed to 1."""

    joints: tuple[str, ...]
    width: float
    closed: float = 0.0


@dataclass(frozen=True, eq=False)
class Step:
    """Largest change of the target in one command: lengths of translation (m) and rotation vector (rad), joints (rad).

    A longer step is shortened; a chunk with a step more than ``malformed`` times as long is malformed.
    """

    translation: float
    rotation: float
    joints: Vector
    malformed: float


@dataclass(frozen=True, eq=False)
class Box:
    """Where the grip frame's target may lie, base frame (m)."""

    lower: Vector
    upper: Vector


@dataclass(frozen=True, eq=False)
class Rest:
    """The arm is at rest when each joint's position span over ``window`` (s) is below ``noise`` (rad) and its
    distance from the hold within ``tolerance`` (rad).
    """

    window: float
    noise: Vector
    tolerance: Vector


@dataclass(frozen=True, eq=False)
class Braking:
    """How the arm may brake: ``deceleration`` (rad/s²); a known reference farther than ``lead`` (rad) from the
    measured joints is pulled back to it first.
    """

    deceleration: Vector
    lead: Vector


@dataclass(frozen=True, eq=False)
class Escalation:
    """Seconds in HALTING after which the hold is repeated at once, a hold controller is switched to, the halt is
    given up as unverified; and seconds without joint states after which the arm counts as lost.
    """

    repeat: float
    switch: float
    fault: float
    lost: float


@dataclass(frozen=True, eq=False)
class Join:
    """Largest distance between the arm and the first target of a new source: m, rad, and rad a joint."""

    translation: float
    rotation: float
    joints: Vector


@dataclass(frozen=True, eq=False)
class Sources:
    """Where the arm is seen: topics of joint states, which may share the joints among them, and of the grip frame's
    pose; without one (``""``) it follows from the joints, and is published on ``current_pose`` for others.
    """

    joint_states: tuple[str, ...] = ("joint_states",)
    pose: str = "current_pose"


@dataclass(frozen=True, eq=False)
class Sampled:
    """A figure measured ``n`` times (each joint at least): its ``worst`` value and its ``spread``, largest minus
    smallest; one number a joint, or one alone.
    """

    n: float
    worst: Vector
    spread: Vector


@dataclass(frozen=True, eq=False)
class Commissioned:
    """What `vla-monitor commission` measured on this very arm; the profile's limits may not be laxer than that.

    :param date: of the tests, YYYY-MM-DD.
    :param noise: span of each held joint over the rest window (rad).
    :param droop: distance from the hold at rest (rad): of a load, and what friction leaves.
    :param rest: seconds from a hold to rest; ``silence``: from the last command, when nobody sends a hold.
    :param grip: growth of the opening (0 to 1) while a closed gripper was held.
    :param speed: and what follows: all or none, for joint targets do not move every arm that is led by poses. Slowest
        speed (rad/s) from which the fastest stops began.
    :param distance: of these stops (rad).
    :param deceleration: as asked where these stops kept to their hold, else v²/2d (rad/s²); the worst is the
        smallest.
    :param lag: of the joints behind their target (s), at that speed.
    :param data_sheet: deceleration (rad/s²) before the tests, never exceeded by the measured one.
    """

    date: str
    noise: Sampled
    droop: Sampled
    rest: Sampled
    silence: Sampled
    grip: Sampled
    speed: Vector | None = None
    distance: Sampled | None = None
    deceleration: Sampled | None = None
    lag: Sampled | None = None
    data_sheet: Vector | None = None


# -- some arms -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Kinematics:
    """The arm's geometry, for end-effector targets on arms that take joints.

    :param description: ``panda``, ``fr3`` or ``wx250s``: made from public numbers; a path that ends in ``.urdf`` or
        ``.xml``, relative to the profile; else the topic on which the robot describes itself.
    :param tip: link whose frame is the grip frame.
    :param origin: the description's root in the frame of poses (m).
    :param posture: joints (rad) that spare freedom leans to.
    :param translation: largest distance (m) of a solution from its target, ``rotation`` (rad) likewise.
    """

    description: str
    tip: str
    origin: Vector
    posture: Vector
    translation: float
    rotation: float


@dataclass(frozen=True, eq=False)
class Jtc:
    """A ``joint_trajectory_controller``.

    :param controller: its name: its topics and its action stand under it.
    :param reach: seconds from a point's arrival to its end, at which the velocity is zero.
    """

    controller: str
    reach: float


@dataclass(frozen=True, eq=False)
class Manager:
    """The ``controller_manager``.

    :param name: its services stand under it.
    :param controllers: controllers that must be active while the arm is used.
    :param hardware: hardware component that must be active; ``""``: not watched.
    """

    name: str
    controllers: tuple[str, ...]
    hardware: str


@dataclass(frozen=True, eq=False)
class Franka:
    """Topic of ``FrankaRobotState`` and action of ``ErrorRecovery``, which gets ``patience`` seconds."""

    robot_state: str
    recovery: str
    patience: float


@dataclass(frozen=True, eq=False)
class Xs:
    """An arm behind ``xs_sdk``.

    :param prefix: its topics and services stand under it (the robot's name).
    :param group: the arm's joints, as the driver groups them.
    :param reach: seconds of the driver's time profile; ``acceleration`` (s) at most half of it.
    """

    prefix: str
    group: str
    reach: float
    acceleration: float


@dataclass(frozen=True, eq=False)
class GripperAction:
    """A gripper behind a ``GripperCommand`` action, whose position is half of the width.

    :param effort: force of a grasp (N).
    :param hysteresis: change of the opening (0…1) that is worth a new goal.
    """

    action: str
    effort: float
    hysteresis: float


@dataclass(frozen=True, eq=False)
class GripperController:
    """A gripper behind a trajectory controller of one finger ``joint``: its positions (m) closed and open."""

    controller: str
    joint: str
    closed: float
    open: float
    reach: float


@dataclass(frozen=True, eq=False)
class GripperPwm:
    """A gripper behind ``xs_sdk`` in PWM mode, which knows no end: the limits are ours.

    :param joint: the gripper's name there.
    :param close: PWM that closes (negative), ``open`` that opens, ``hold`` that keeps a grip without overload.
    :param band: opening (0…1) around the wish that is near enough, and distance kept from the ends.
    :param stall: seconds without motion after which closing has met something.
    """

    joint: str
    close: float
    open: float
    hold: float
    band: float
    stall: float
