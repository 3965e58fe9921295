"""The node's parameters as data, and the settings that they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from supervisor_node import alerts
from supervisor_node.config import Config
from supervisor_node.states import Mode
from vla_uq.errors import InputError

_TIMES = {
    "joints_timeout": "age of joint states and pose that counts as stale",
    "heartbeat_timeout": "age of the policy's and the monitor's announcements that counts as stale",
    "arming_time": "how long all guards must have held before UNKNOWN is left",
    "resume_timeout": "longest wait for the first scored chunk after a reset of the policy",
    "resume_cooldown": "shortest stay in HALTED before a resume",
    "lease_timeout": "silence of the teleop device that ends its lease",
    "shadow_wait": "shadow mode: how long a chunk waits for a score",
    "max_observation_age": "a chunk of an older observation is discarded",
    "policy_gap": "how long the arm may wait for a policy that blocks while it infers: it holds, and it is no fault",
    "recovery_timeout": "longest wait for the robot's recovery",
    "shutdown_time": "longest wait for rest before the process exits",
}
_DEFAULTS = {field.name: field.default for field in fields(Config)}


PARAMETERS: dict[str, tuple[Any, str]] = {
    "autostart": (True, "configure and activate at start, without a lifecycle manager"),
    "robot": ("franka_crisp_sim", "arm profile: a name of config/arms, or the path of a file"),
    "mode": ("guard", "guard: an alarm halts the arm; shadow: alarms are recorded; changed while nothing runs only"),
    "lockstep": (False, "answer each observation with one command, on simulated time"),
    "require_policy": (True, "arming needs a policy's announcements"),
    "require_monitor": (True, "arming needs a monitor's announcements; false in shadow mode only"),
    "estop_topic": ("", "std_msgs/Bool, true while pressed, to be repeated; empty: none is wired"),
    "takeover": ("stop", "of the policy by a teleop device: stop first, or blend where its pose is near the arm"),
    "ensembling": (-1.0, "overlapping chunks are averaged, the i-th oldest weighs exp(-ensembling i); below 0: never"),
    "max_resumes_per_episode": (1, "each restarts score and band time; many would launder alarms"),
    **{name: (_DEFAULTS[name], f"{text}, s") for name, text in _TIMES.items()},
    **alerts.PARAMETERS,
}
"""Name to default and description; all but ``mode`` are fixed at start."""
RANGES: dict[str, tuple[float, float]] = {
    "max_resumes_per_episode": (0, 1000),
    **dict.fromkeys(_TIMES, (0.001, 3600.0)),
    "policy_gap": (0.0, 60.0),
    "ensembling": (-1.0, 10.0),
    "alert_timeout": (0.001, 60.0),
}
"""Smallest and largest value of every number."""


def mode_of(text: str) -> Mode:
    """The mode that a parameter names.

    :raises InputError: when it names none.
    """
    if text.upper() not in Mode.__members__:
        raise InputError("unknown mode", where="parameter mode", expected="guard or shadow", found=text)
    return Mode[text.upper()]


def _blend_of(text: str) -> bool:
    if text not in ("stop", "blend"):
        raise InputError("unknown takeover", where="parameter takeover", expected="stop or blend", found=text)
    return text == "blend"


def config_of(values: Mapping[str, Any]) -> Config:
    """The settings of the parameters' values.

    :raises InputError: naming the parameter that is wrong.
    """
    return Config(
        mode=mode_of(values["mode"]),
        lockstep=values["lockstep"],
        require_policy=values["require_policy"],
        require_monitor=values["require_monitor"],
        require_estop=bool(values["estop_topic"]),
        max_resumes=values["max_resumes_per_episode"],
        takeover_blend=_blend_of(values["takeover"]),
        ensembling=values["ensembling"],
        **{name: values[name] for name in _TIMES},
    )
