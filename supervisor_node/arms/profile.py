"""An arm's profile: the limits that belong to the arm, read from ``config/arms/<name>.yaml`` and checked at once.

The file is written by hand from data sheets or by measuring the arm; every number that decides whether a stop is
verified stands here, none in the code.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from vla_uq.errors import InputError

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Joints:
    """The arm's joints, in the order of every joint vector here. Limits in rad (m for sliding joints)."""

    names: tuple[str, ...]
    lower: Vector
    upper: Vector


@dataclass(frozen=True, eq=False)
class Gripper:
    """Finger joints (m), whose sum over ``width`` (m) is the measured opening, 0 closed to 1 open."""

    joints: tuple[str, ...]
    width: float


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
class Profile:
    """Everything the supervisor knows about one arm.

    :param kind: which arm class drives it, a key of :data:`supervisor_node.arms.ARMS`.
    :param frame: base frame of poses.
    :param rate: control rate (Hz).
    :param max_ahead: most seconds of motion that may be in the arm's hands at once.
    :param hold_controller: controller that the third step of the escalation switches to; empty: there is none.
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

    @property
    def period(self) -> float:
        """Seconds of one control step."""
        return 1.0 / self.rate


def load_profile(name: str) -> Profile:
    """Read a profile by its name (``franka_crisp_sim``) or the path of its file.

    :raises InputError: when there is no such file, or a field is missing, unknown, of the wrong kind or impossible.
    """
    path = find_profile(name)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError("not YAML", where=str(path), found=str(error).splitlines()[0]) from None
    profile: Profile = _build(Profile, content, str(path), "")
    _check(profile, str(path))
    return profile


def find_profile(name: str) -> Path:
    """Path of a profile: a file as it stands, else ``config/arms`` of the source tree or of an installation.

    :raises InputError: when it is in none of them.
    """
    if name.endswith((".yaml", ".yml")):
        folders = [Path()]
    else:
        prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p] + [sys.prefix]
        folders = [Path(__file__).resolve().parents[2] / "config" / "arms"]
        folders += [Path(prefix) / "share" / "vla_monitor" / "config" / "arms" for prefix in prefixes]
        name = f"{name}.yaml"
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        "no such arm profile",
        where=name,
        expected="the name of a file of config/arms, or a path that ends in .yaml",
        remedy="set the parameter arm",
    )


def _build(kind: Any, content: Any, file: str, path: str) -> Any:
    """Make a dataclass from a mapping, by the types that its fields declare."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    where = f"{file}: {path}" if path else file
    if not isinstance(content, dict):
        raise InputError("not a mapping", where=where, expected=", ".join(fields), found=type(content).__name__)
    missing, unknown = set(fields) - set(content), set(content) - set(fields)
    for names, what in ((missing, "field is missing"), (unknown, "unknown field")):
        if names:
            raise InputError(what, where=where, found=", ".join(sorted(map(str, names))), expected=", ".join(fields))
    values = {}
    for name, value in content.items():
        inner = f"{path}.{name}" if path else name
        values[name] = _value(str(fields[name].type), value, file, inner)
    return kind(**values)


def _value(declared: str, value: Any, file: str, path: str) -> Any:
    where = f"{file}: {path}"
    if declared == "str" and isinstance(value, str):
        return value
    if declared == "tuple[str, ...]" and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if declared == "float" and _number(value):
        return float(value)
    if declared == "Vector" and isinstance(value, list) and value and all(map(_number, value)):
        return np.array(value, np.float64)
    if declared in _PARTS:
        return _build(_PARTS[declared], value, file, path)
    names = {"str": "a text", "tuple[str, ...]": "a list of texts", "float": "a finite number"}
    raise InputError(
        "wrong kind of value", where=where, expected=names.get(declared, "a list of finite numbers"), found=repr(value)
    )


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


_PARTS = {part.__name__: part for part in (Joints, Gripper, Step, Box, Rest, Braking, Escalation, Join)}


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
    for field, vector in vectors.items():
        demand(len(vector) == count and bool((vector > 0).all()), field, f"{count} numbers above 0", vector.tolist())
    box = profile.workspace
    for field, lower, upper, size in (
        ("joints", joints.lower, joints.upper, count),
        ("workspace", box.lower, box.upper, 3),
    ):
        right = len(lower) == len(upper) == size and bool((lower < upper).all())
        demand(right, f"{field}.lower, {field}.upper", f"{size} numbers each, lower below upper", f"{lower}, {upper}")
    scalars = {
        "rate": profile.rate,
        "max_ahead": profile.max_ahead,
        "gripper.width": profile.gripper.width,
        "step.translation": profile.step.translation,
        "step.rotation": profile.step.rotation,
        "rest.window": profile.rest.window,
        "escalation.lost": escalation.lost,
        "join.translation": profile.join.translation,
        "join.rotation": profile.join.rotation,
    }
    for field, value in scalars.items():
        demand(value > 0, field, "a number above 0", value)
    demand(profile.step.malformed >= 1, "step.malformed", "at least 1", profile.step.malformed)
    ahead = f"at least one control step, {profile.period:g} s"
    demand(profile.period <= profile.max_ahead, "max_ahead", ahead, profile.max_ahead)
    times = (escalation.repeat, escalation.switch, escalation.fault)
    demand(0 < times[0] <= times[1] <= times[2], "escalation", "0 < repeat <= switch <= fault", times)
    demand(escalation.fault > profile.rest.window, "escalation.fault", "more than rest.window", escalation.fault)
