"""Arms: what a chunk, a teleop pose or a stop means for one kind of robot. Pure; a new arm is one file and one line."""

from __future__ import annotations

from collections.abc import Callable

from supervisor_node.arms.base import Arm
from supervisor_node.arms.crisp import CrispArm
from supervisor_node.arms.description import KNOWN, urdf_of
from supervisor_node.arms.joint import JointArm
from supervisor_node.arms.profile import Profile, find_profile, load_profile
from vla_uq.errors import InputError

ARMS: dict[str, Callable[[Profile], Arm]] = {"crisp": CrispArm, "jtc": JointArm, "xs": JointArm}
_FILES = (".urdf", ".xml")


def description_topic(profile: Profile) -> str:
    """The topic on which the robot describes itself; "" where the profile brings the description, or needs none."""
    source = _source(profile)
    return "" if source in KNOWN or source.endswith(_FILES) else source


def _source(profile: Profile) -> str:
    return profile.kinematics.description if profile.kinematics is not None else ""


def open_arm(name: str) -> Arm:
    """The arm of a profile, by the profile's name or path; a description that the profile can give is taken.

    :raises InputError: see :func:`load_profile`; unknown kind of arm; the description is unreadable or another robot's.
    """
    profile = load_profile(name)
    if profile.kind not in ARMS:
        raise InputError("unknown kind of arm", where=f"{name}: kind", expected=", ".join(ARMS), found=profile.kind)
    arm = ARMS[profile.kind](profile)
    source, problem = _source(profile), ""
    if source in KNOWN:
        assert profile.kinematics is not None
        problem = arm.describe(urdf_of(source, profile.joints.names, profile.kinematics.tip))
    elif source.endswith(_FILES):
        file = find_profile(name).parent / source
        if not file.is_file():
            raise InputError("no such description", where=f"{name}: kinematics.description", found=str(file))
        problem = arm.describe(file.read_text(encoding="utf-8"))
    if problem:
        raise InputError("description cannot be used", where=f"{name}: kinematics.description", found=problem)
    return arm
