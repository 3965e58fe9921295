"""The arm: Panda kinematics from its public Denavit–Hartenberg values, drawn with capsules."""

from __future__ import annotations

import numpy as np

from sim_node.robot import Hand, Robot
from vla_policy.manifest import OPEN_WIDTH

JOINTS = tuple(f"fr3_joint{i}" for i in range(1, 8))
FINGERS = ("fr3_finger_joint1", "fr3_finger_joint2")
HOME = np.array([0, -0.161, 0, -2.4446, 0, 2.2268, np.pi / 4])
TORQUE_LIMIT = np.array([87.0, 87, 87, 87, 12, 12, 12])
FINGER_TRAVEL = 0.04
"""Travel of one finger (m); the width between both is twice that."""
PALM_HALF_X, PALM_HALF_Y = 0.022, 0.095
BASE_X = -0.56
"""The base stands here on the table (m); farther back joint 4 meets its limit."""

_WHITE, _DARK = 'rgba=".93 .93 .94 1"', 'rgba=".25 .26 .28 1"'


def _capsule(start: str, end: str, radius: float, look: str = _WHITE) -> str:
    return f'<geom type="capsule" fromto="{start} {end}" size="{radius}" {look} contype="0" conaffinity="0" group="2"/>'


def _link(i: int, place: str, mass: float, centre: str, limits: str, damping: float, look: str) -> str:
    """Open the body of link ``i`` (closed by the caller)."""
    name = JOINTS[i - 1]
    inertia = f"{mass * 0.012:.4f} {mass * 0.012:.4f} {mass * 0.006:.4f}"
    return (
        f'<body name="link{i}" {place}><inertial mass="{mass}" pos="{centre}" diaginertia="{inertia}"/>'
        f'<joint name="{name}" axis="0 0 1" range="{limits}" damping="{damping}" armature="0.1"/>{look}'
    )


def _finger(i: int, side: int) -> str:
    return (
        f'<body name="finger{i}" pos="0 0 .0584">'
        f'<inertial mass=".05" pos="0 {side * 0.01} .02" diaginertia="1e-5 1e-5 1e-5"/>'
        f'<joint name="{FINGERS[i - 1]}" type="slide" axis="0 {side} 0" range="0 {FINGER_TRAVEL}" damping="20"'
        ' armature=".5"/>'
        f'<geom type="box" size=".010 .007 .026" pos="0 {side * 0.007} .028" friction="2 .05 .001" condim="4"'
        f' solref=".01 .5" {_DARK} contype="1" conaffinity="1"/></body>'
    )


def arm_xml() -> str:
    """The arm's body tree; its tip is the site ``grip`` between the finger tips (z down at home)."""
    c, links = _capsule, []
    links.append(
        _link(
            1,
            'pos="0 0 .333"',
            3.5,
            "0 0 -.07",
            "-2.9 2.9",
            0.1,
            c("0 0 -.13", "0 0 0", 0.06) + c("0 -.06 0", "0 .06 0", 0.062, _DARK),
        )
    )
    links.append(_link(2, 'quat="1 -1 0 0"', 3.5, "0 -.07 .03", "-1.76 1.76", 0.1, c("0 0 0", "0 -.19 0", 0.058)))
    links.append(
        _link(
            3,
            'pos="0 -.316 0" quat="1 1 0 0"',
            2.9,
            ".04 .03 -.05",
            "-2.9 2.9",
            0.1,
            c("0 0 -.1", "0 0 -.02", 0.056)
            + c(".0825 0 -.055", ".0825 0 .055", 0.055, _DARK)
            + c("0 0 -.02", ".07 0 0", 0.05),
        )
    )
    links.append(
        _link(
            4,
            'pos=".0825 0 0" quat="1 1 0 0"',
            2.5,
            "-.05 .05 .03",
            "-3.07 -.07",
            0.1,
            c("0 0 0", "-.0825 .09 0", 0.05) + c("-.0825 .09 0", "-.0825 .13 0", 0.052),
        )
    )
    links.append(
        _link(
            5,
            'pos="-.0825 .384 0" quat="1 -1 0 0"',
            3.0,
            "0 .03 -.1",
            "-2.9 2.9",
            0.1,
            c("0 0 -.26", "0 .05 -.1", 0.048) + c("0 .06 -.1", "0 .02 0", 0.04),
        )
    )
    links.append(
        _link(
            6,
            'quat="1 1 0 0"',
            1.5,
            ".05 0 0",
            "-.02 3.75",
            0.01,
            c("0 0 -.04", "0 0 .05", 0.048, _DARK) + c("0 0 0", ".07 0 0", 0.045),
        )
    )
    links.append(
        _link(
            7,
            'pos=".088 0 0" quat="1 1 0 0"',
            0.7,
            "0 0 .07",
            "-2.9 2.9",
            0.01,
            c("0 0 -.03", "0 0 .07", 0.043),
        )
    )
    hand = (
        '<body name="hand" pos="0 0 .107" quat=".92388 0 0 -.38268">'
        '<inertial mass=".7" pos="0 0 .03" diaginertia=".001 .0025 .0017"/>'
        f'<geom type="box" size="{PALM_HALF_X} {PALM_HALF_Y} .032" pos="0 0 .03" {_WHITE} contype="1" conaffinity="1"/>'
        '<camera name="wrist" pos=".07 0 .02" xyaxes="0 1 0 .97 0 .25" fovy="80"/>'
        '<site name="grip" pos="0 0 .1034" size=".004" rgba="0 0 0 0"/>'
        f"{_finger(1, 1)}{_finger(2, -1)}</body>"
    )
    base = c("-.05 0 .03", ".02 0 .05", 0.075) + c("0 0 .05", "0 0 .2", 0.062)
    return f'<body name="base" pos="{BASE_X} 0 0">{base}{"".join(links)}{hand}{"</body>" * 8}'


def actuators_xml() -> str:
    """Torque motors for the joints, position servos for the fingers."""
    motors = "".join(
        f'<motor joint="{name}" ctrlrange="{-limit} {limit}"/>'
        for name, limit in zip(JOINTS, TORQUE_LIMIT, strict=True)
    )
    servo = '<position joint="{}" kp="400" ctrlrange="0 {}" forcerange="-30 30"/>'
    return motors + "".join(servo.format(name, FINGER_TRAVEL) for name in FINGERS)


PANDA = Robot(
    name="franka",
    joints=JOINTS,
    fingers=FINGERS,
    closed=np.zeros(2),
    open=np.full(2, FINGER_TRAVEL),
    pads=0.0,
    open_width=OPEN_WIDTH,
    home=HOME,
    approach=2,
    body=arm_xml(),
    actuators=actuators_xml(),
    extras="",
    view='pos=".60 .035 .62" xyaxes="0 1 0 -.70 0 .71" fovy="40"',
    box=(np.array([-0.15, -0.24]), np.array([0.13, 0.22])),
    box_cabinet=(np.array([-0.15, -0.24]), np.array([0.13, -0.06])),
    hand=Hand(PALM_HALF_X, PALM_HALF_Y, beside=0.064, clearance=0.06),
    above=np.array([-0.10, 0.0, 0.25]),
)
