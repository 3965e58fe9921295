"""What can be set about the supervisor itself; limits that belong to the arm stand in its profile."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from supervisor_node.states import Mode
from vla_uq.errors import InputError


@dataclass(frozen=True)
class Config:
    """Settings of one supervisor; times in seconds on its clock.

    :param lockstep: one command answers each observation, and the clock is the simulation's (contracts.md §6).
    :param require_policy: arming needs a policy's heartbeat.
    :param require_monitor: arming needs a monitor's heartbeat; may be false in shadow mode only.
    :param require_estop: an e-stop input is wired: it must be fresh and false.
    :param max_resumes: resumes in one episode; each restarts score and band time, and many would launder alarms.
    :param takeover_blend: a takeover from the policy needs no stop where the device's pose is near the arm.
    :param joints_timeout: age of joint states, pose and e-stop that counts as stale.
    :param heartbeat_timeout: age of an announcement that counts as stale.
    :param arming_time: how long all guards must have held before UNKNOWN is left.
    :param resume_timeout: longest wait for the first scored chunk after a reset.
    :param resume_cooldown: shortest stay in HALTED before a resume.
    :param lease_timeout: silence of the teleop device that ends its lease.
    :param shadow_wait: in shadow mode, how long a chunk waits for a score.
    :param max_observation_age: an older observation's chunk is discarded.
    :param policy_gap: how long a policy that blocks while it infers may leave the arm without an action; 0: not at all.
    :param ensembling: decay of the weights with which overlapping chunks are averaged; below 0: they are not.
    :param recovery_timeout: longest wait for the robot's recovery: half a minute is usual.
    :param shutdown_time: longest wait for rest before the process exits.
    """

    mode: Mode = Mode.GUARD
    lockstep: bool = False
    require_policy: bool = True
    require_monitor: bool = True
    require_estop: bool = False
    max_resumes: int = 1
    takeover_blend: bool = False
    joints_timeout: float = 0.2
    heartbeat_timeout: float = 0.4
    arming_time: float = 0.5
    resume_timeout: float = 3.0
    resume_cooldown: float = 0.5
    lease_timeout: float = 0.2
    shadow_wait: float = 0.15
    max_observation_age: float = 0.5
    policy_gap: float = 0.0
    ensembling: float = -1.0
    recovery_timeout: float = 35.0
    shutdown_time: float = 0.5

    def __post_init__(self) -> None:
        if self.mode is Mode.GUARD and not self.require_monitor:
            raise InputError(
                "guard mode needs the monitor",
                where="require_monitor",
                expected=True,
                found=False,
                remedy="set mode to shadow, or require_monitor to true",
            )
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, float) or field.name == "ensembling":
                continue
            may_be_none = field.name == "policy_gap"
            if not (math.isfinite(value) and (value >= 0 if may_be_none else value > 0)):
                expected = "seconds, 0 or more" if may_be_none else "seconds above 0"
                raise InputError("not a time", where=field.name, expected=expected, found=value)
        if not math.isfinite(self.ensembling):
            raise InputError("not a decay", where="ensembling", expected="a finite number", found=self.ensembling)
        if self.max_resumes < 0:
            raise InputError("negative count", where="max_resumes", expected="at least 0", found=self.max_resumes)
