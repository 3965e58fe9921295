"""The WidowX-250s: kinematics, limits, efforts and masses of the vendor's xacro, drawn with capsules.

Its base stands at the world's origin, so that poses are in its base frame. Centres of mass, which the vendor's numbers
leave out, lie half-way along the links; rotor inertia and gear friction are of the size of such gear motors'.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim_node.robot import Hand, Robot

GRIP = 0.0936
"""The grip point lies so far (m) beyond the last joint, along x."""
FINGER_CLOSED, FINGER_OPEN = 0.015, 0.037
"""Places of a finger beside the middle (m): its outer face; the vendor's travel."""
PAD = 0.010
"""Thickness of a finger (m)."""
SPEED = np.pi
"""Velocity limit of every joint (rad/s)."""
_BASE_MASS, _HAND_MASS, _FINGER_MASS = 0.5387, 0.10, 0.02
_FRICTION = 0.1
"""Of the gears (N m): without it an arm without torque would fall faster than its gears let it."""

_DARK, _METAL = 'rgba=".14 .14 .16 1"', 'rgba=".55 .56 .6 1"'


@dataclass(frozen=True)
class Joint:
    """One servo and the link that it turns.

    :param origin: in the parent (m).
    :param limits: degrees.
    :param effort: N m.
    :param mass: of the link (kg), ``reach``: to the next joint (m).
    :param rotor: inertia of the motor as the joint feels it (kg m²).
    :param stiffness: of its position loop (N m/rad).
    """

    name: str
    origin: tuple[float, float, float]
    axis: str
    limits: tuple[float, float]
    effort: float
    mass: float
    reach: tuple[float, float, float]
    rotor: float
    stiffness: float


CHAIN = (
    Joint("waist", (0, 0, 0.072), "0 0 1", (-180, 180), 10, 0.4809, (0, 0, 0.03865), 0.05, 400),
    Joint("shoulder", (0, 0, 0.03865), "0 1 0", (-108, 114), 20, 0.4308, (0.04975, 0, 0.25), 0.08, 800),
    Joint("elbow", (0.04975, 0, 0.25), "0 1 0", (-123, 92), 15, 0.2346, (0.175, 0, 0), 0.05, 500),
    Joint("forearm_roll", (0.175, 0, 0), "1 0 0", (-180, 180), 2, 0.2210, (0.075, 0, 0), 0.01, 60),
    Joint("wrist_angle", (0.075, 0, 0), "0 1 0", (-100, 123), 5, 0.0850, (0.065, 0, 0), 0.02, 150),
    Joint("wrist_rotate", (0.065, 0, 0), "1 0 0", (-180, 180), 1, 0.0729, (0.04, 0, 0), 0.004, 30),
)
LOWER, UPPER = np.radians(np.transpose([joint.limits for joint in CHAIN]))
SLEEP = np.array([0, -1.80, 1.55, 0, 0.8, 0])
_HOME = np.array([0, -0.31, 0.25, 0, 1.63, 0])
"""Grip point at (.22, 0, .22) m, the hand pointing down."""


def _three(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _open_link(joint: Joint) -> str:
    """Begin the body of a link, closed by the caller."""
    x, y, z = joint.reach
    size = max(x * x + y * y + z * z, 0.05**2)
    inertia = f"{joint.mass * size / 6:.3g} " * 3
    lower, upper = np.radians(joint.limits)
    return (
        f'<body name="{joint.name}_link" pos="{_three(joint.origin)}">'
        f'<inertial mass="{joint.mass}" pos="{_three((x / 2, y / 2, z / 2))}" diaginertia="{inertia}"/>'
        f'<joint name="{joint.name}" axis="{joint.axis}" range="{lower:.6f} {upper:.6f}" armature="{joint.rotor}"'
        f' damping=".3" frictionloss="{_FRICTION}"/>'
        f'<geom type="capsule" fromto="0 0 0 {_three(joint.reach)}" size=".022" {_DARK} contype="0" conaffinity="0"'
        ' group="2"/>'
    )


def _finger(i: int, name: str, side: int) -> str:
    """A finger, whose joint counts from the middle to its outer face along +y: negative on the right."""
    lower, upper = sorted((side * FINGER_CLOSED, side * FINGER_OPEN))
    return (
        f'<body name="finger{i}"><inertial mass="{_FINGER_MASS}" pos=".08 0 0" diaginertia="1e-5 1e-5 1e-5"/>'
        f'<joint name="{name}" type="slide" axis="0 1 0" range="{lower} {upper}" damping="60" armature=".3"'
        ' frictionloss="1.5" solreflimit=".01 1" solimplimit=".99 .999 .0001"/>'
        f'<geom type="box" size=".019 {PAD / 2} .009" pos=".0826 {-side * PAD / 2} 0" friction="2 .05 .001" condim="4"'
        f' solref=".01 .5" {_METAL} contype="1" conaffinity="1"/></body>'
    )


def _hand() -> str:
    return (
        f'<body name="hand"><inertial mass="{_HAND_MASS}" pos=".035 0 0" diaginertia="1e-4 1e-4 1e-4"/>'
        f'<geom type="box" size=".022 .042 .018" pos=".038 0 0" {_DARK} contype="1" conaffinity="1"/>'
        '<camera name="wrist" pos=".01 0 .075" xyaxes="0 -1 0 .25 0 .97" fovy="80"/>'
        f'<site name="grip" pos="{GRIP} 0 0" size=".004" rgba="0 0 0 0"/>'
        f"{_finger(1, 'left_finger', 1)}{_finger(2, 'right_finger', -1)}</body>"
    )


def _body() -> str:
    base = (
        f'<inertial mass="{_BASE_MASS}" pos="0 0 .04" diaginertia="1e-3 1e-3 1e-3"/>'
        f'<geom type="cylinder" size=".045 .036" pos="0 0 .036" {_DARK} contype="0" conaffinity="0" group="2"/>'
    )
    return f'<body name="base">{base}{"".join(map(_open_link, CHAIN))}{_hand()}{"</body>" * (len(CHAIN) + 1)}'


def damping_of(joint: Joint) -> float:
    """Damping of a servo's position loop (N m s/rad): critical for its rotor and as much of the arm again."""
    return float(2 * np.sqrt(joint.stiffness * 2 * joint.rotor))


def _actuators() -> str:
    """A position servo a joint, each in a group of its own so that its torque can be switched off; then the fingers."""
    servos = "".join(
        f'<position joint="{joint.name}" kp="{joint.stiffness}" kv="{damping_of(joint):.4f}" group="{i}"'
        f' forcerange="{-joint.effort} {joint.effort}"/>'
        for i, joint in enumerate(CHAIN)
    )
    drive = '<motor joint="left_finger" group="{0}"/><motor joint="right_finger" gear="-1" group="{0}"/>'
    return servos + drive.format(len(CHAIN))


WIDOWX = Robot(
    name="widowx",
    joints=tuple(joint.name for joint in CHAIN),
    fingers=("left_finger", "right_finger"),
    closed=np.array([FINGER_CLOSED, -FINGER_CLOSED]),
    open=np.array([FINGER_OPEN, -FINGER_OPEN]),
    pads=2 * PAD,
    open_width=0.064,
    home=_HOME,
    approach=0,
    body=_body(),
    actuators=_actuators(),
    extras='<equality><joint joint1="right_finger" joint2="left_finger" polycoef="0 -1 0 0 0"/></equality>',
    view='pos=".72 .02 .50" xyaxes="0 1 0 -.72 0 .69" fovy="34"',
    box=(np.array([0.19, -0.15]), np.array([0.35, 0.15])),
    box_cabinet=(np.array([0.19, -0.15]), np.array([0.35, 0.15])),
    hand=Hand(0.018, 0.042, beside=0.042, clearance=0.042, slack=0.006, hover=0.10),
    above=np.array([0.22, 0.0, 0.20]),
    pace=0.5,
)
