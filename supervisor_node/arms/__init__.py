"""Arms: what a chunk, a teleop pose or a stop means for one kind of robot. Pure; a new arm is one file and one line."""

from __future__ import annotations

from collections.abc import Callable

from supervisor_node.arms.base import Arm
from supervisor_node.arms.crisp import CrispArm
from supervisor_node.arms.profile import Profile, load_profile
from vla_uq.errors import InputError

ARMS: dict[str, Callable[[Profile], Arm]] = {"crisp": CrispArm}


def open_arm(name: str) -> Arm:
    """The arm of a profile, by the profile's name or path.

    :raises InputError: see :func:`load_profile`; unknown kind of arm.
    """
    profile = load_profile(name)
    if profile.kind not in ARMS:
        raise InputError("unknown kind of arm", where=f"{name}: kind", expected=", ".join(ARMS), found=profile.kind)
    return ARMS[profile.kind](profile)
