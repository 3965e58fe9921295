"""An arm's profile: the limits that belong to the arm, read from ``config/arms/<name>.yaml`` and checked at once.

The file is written by hand from data sheets, and then by `vla-monitor commission` from measuring the arm; every number
that decides whether a stop is verified stands here, none in the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from supervisor_node.arms.evidence import check_evidence
from supervisor_node.arms.parts import (
    Box,
    Braking,
    Commissioned,
    Escalation,
    Franka,
    Gripper,
    GripperAction,
    GripperController,
    GripperPwm,
    Join,
    Joints,
    Jtc,
    Kinematics,
    Manager,
    Rest,
    Sources,
    Step,
    Xs,
)
from supervisor_node.arms.reading import build
from vla_uq.configuration import find
from vla_uq.errors import InputError

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Profile:
    """Everything the supervisor knows about one arm.

    :param kind: which arm class and driver serve it, a key of :data:`supervisor_node.arms.ARMS`.
    :param frame: base frame of poses.
    :param rate: control rate (Hz).
    :param max_ahead: most seconds of motion that may be in the arm's hands at once.
    :param hold_controller: controller that the third step of the escalation and the deadman switch to; with a slash in
        it, the ``std_srvs/SetBool`` service that does so; empty: there is none.
    :param sources: and what follows: what this kind of arm needs beside.
    :param commissioned: what was measured on this very arm; None: nothing was, the numbers are a data sheet's.
    """

    name: str
    kind: str
    frame: str
    rate: float
    max_ahead: float
    hold_controller: str
    joints: Joints
    gripper: Gripper
    step: Step
    workspace: Box
    rest: Rest
    braking: Braking
    escalation: Escalation
    join: Join
    sources: Sources = Sources()  # noqa: RUF009, frozen
    kinematics: Kinematics | None = None
    jtc: Jtc | None = None
    manager: Manager | None = None
    franka: Franka | None = None
    xs: Xs | None = None
    gripper_action: GripperAction | None = None
    gripper_controller: GripperController | None = None
    gripper_pwm: GripperPwm | None = None
    commissioned: Commissioned | None = None

    @property
    def period(self) -> float:
        """Seconds of one control step."""
        return 1.0 / self.rate

    @property
    def reach(self) -> float:
        """Seconds of motion that one command leaves in the arm's hands."""
        part = self.jtc or self.xs
        return part.reach if part is not None else self.period


def load_profile(name: str) -> Profile:
    """Read a profile by its name (``franka_crisp_sim``) or the path of its file.

    :raises InputError: when there is no such file, or a field is missing, unknown, of the wrong kind or impossible.
    """
    path = find_profile(name)
    return parse_profile(path.read_text(encoding="utf-8"), str(path))


def parse_profile(text: str, file: str) -> Profile:
    """A profile from the text of its file.

    :param file: named in messages.
    :raises InputError: see :func:`load_profile`.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError("not YAML", where=file, found=str(error).splitlines()[0]) from None
    profile: Profile = build(Profile, content, file)
    _check(profile, file)
    check_evidence(profile, file)
    return profile


def find_profile(name: str) -> Path:
    """Path of a profile: a file as it stands, else a name of ``config/arms``.

    :raises InputError: when there is none.
    """
    return find("arms", name, "arm profile", "robot")


def _check(profile: Profile, file: str) -> None:
    """Refuse what cannot be: wrong lengths, limits the wrong way round, numbers that must be positive."""
    count, joints, escalation = len(profile.joints.names), profile.joints, profile.escalation

    def demand(holds: bool, field: str, expected: str, found: object) -> None:
        if not holds:
            raise InputError("impossible value", where=f"{file}: {field}", expected=expected, found=found)

    demand(count > 0 and len(set(joints.names)) == count, "joints.names", "distinct names", joints.names)
    vectors = {
        "step.joints": profile.step.joints,
        "rest.noise": profile.rest.noise,
        "rest.tolerance": profile.rest.tolerance,
        "braking.deceleration": profile.braking.deceleration,
        "braking.lead": profile.braking.lead,
        "join.joints": profile.join.joints,
    }
    for field_, vector in vectors.items():
        demand(len(vector) == count and bool((vector > 0).all()), field_, f"{count} numbers above 0", vector.tolist())
    box = profile.workspace
    for field_, lower, upper, size in (
        ("joints", joints.lower, joints.upper, count),
        ("workspace", box.lower, box.upper, 3),
    ):
        right = len(lower) == len(upper) == size and bool((lower < upper).all())
        demand(right, f"{field_}.lower, {field_}.upper", f"{size} numbers each, lower below upper", f"{lower}, {upper}")
    for field_, value in _positive(profile):
        demand(value > 0, field_, "a number above 0", value)
    demand(profile.step.malformed >= 1, "step.malformed", "at least 1", profile.step.malformed)
    ahead = f"at least one control step, {profile.period:g} s"
    demand(profile.period <= profile.max_ahead, "max_ahead", ahead, profile.max_ahead)
    between = f"from one control step, {profile.period:g} s, to max_ahead, {profile.max_ahead:g} s"
    demand(profile.period <= profile.reach <= profile.max_ahead, f"{profile.kind}.reach", between, profile.reach)
    times = (escalation.repeat, escalation.switch, escalation.fault)
    demand(0 < times[0] <= times[1] <= times[2], "escalation", "0 < repeat <= switch <= fault", times)
    demand(escalation.fault > profile.rest.window, "escalation.fault", "more than rest.window", escalation.fault)
    _check_parts(profile, file)


def _positive(profile: Profile) -> list[tuple[str, float]]:
    found = [
        ("rate", profile.rate),
        ("max_ahead", profile.max_ahead),
        ("gripper.width", profile.gripper.width),
        ("step.translation", profile.step.translation),
        ("step.rotation", profile.step.rotation),
        ("rest.window", profile.rest.window),
        ("escalation.lost", profile.escalation.lost),
        ("join.translation", profile.join.translation),
        ("join.rotation", profile.join.rotation),
    ]
    if profile.kinematics is not None:
        found += [
            ("kinematics.translation", profile.kinematics.translation),
            ("kinematics.rotation", profile.kinematics.rotation),
        ]
    return found


def _check_parts(profile: Profile, file: str) -> None:
    """The sections that only some arms have: complete for the kind, and not in contradiction."""

    def demand(holds: bool, field: str, expected: str, found: object) -> None:
        if not holds:
            raise InputError("impossible value", where=f"{file}: {field}", expected=expected, found=found)

    for kind in ("jtc", "xs"):
        present = getattr(profile, kind) is not None
        demand(present == (profile.kind == kind), kind, f"a section for kind {kind}, and no other", present)
    count, k = len(profile.joints.names), profile.kinematics
    demand(bool(profile.sources.pose) or k is not None, "sources.pose", "a topic, or a section kinematics", "neither")
    demand(bool(profile.sources.joint_states), "sources.joint_states", "at least one topic", "none")
    if k is not None:
        inside = len(k.posture) == count and bool(
            ((profile.joints.lower <= k.posture) & (k.posture <= profile.joints.upper)).all()
        )
        demand(inside, "kinematics.posture", f"{count} joints inside their limits", k.posture.tolist())
        demand(len(k.origin) == 3, "kinematics.origin", "3 numbers", k.origin.tolist())
    needing = "franka" if profile.franka is not None else ""
    needing = needing or ("hold_controller" if profile.hold_controller and "/" not in profile.hold_controller else "")
    demand(not needing or profile.manager is not None, "manager", f"a section: {needing} needs it", "none")
    if profile.xs is not None:
        ramp = profile.xs.acceleration
        demand(0 < ramp <= profile.xs.reach / 2, "xs.acceleration", "above 0, at most half of reach", ramp)
    grippers = [n for n in ("gripper_action", "gripper_controller", "gripper_pwm") if getattr(profile, n) is not None]
    demand(len(grippers) <= 1, "gripper_action, gripper_controller, gripper_pwm", "at most one", ", ".join(grippers))
    action, finger, pwm = profile.gripper_action, profile.gripper_controller, profile.gripper_pwm
    if action is not None:
        demand(action.effort > 0, "gripper_action.effort", "a number above 0", action.effort)
        demand(0 < action.hysteresis < 1, "gripper_action.hysteresis", "between 0 and 1", action.hysteresis)
    if finger is not None:
        demand(finger.closed != finger.open, "gripper_controller.open", "another than closed", finger.open)
        demand(finger.reach > 0, "gripper_controller.reach", "a number above 0", finger.reach)
    if pwm is not None:
        order = pwm.close <= pwm.hold < 0 < pwm.open
        demand(order, "gripper_pwm", "close <= hold < 0 < open", f"{pwm.close:g}, {pwm.hold:g}, {pwm.open:g}")
        demand(0 < pwm.band < 0.5, "gripper_pwm.band", "between 0 and 0.5", pwm.band)
        demand(pwm.stall > 0, "gripper_pwm.stall", "a number above 0", pwm.stall)
