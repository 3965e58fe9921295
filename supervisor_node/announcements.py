"""What policy and monitor announce about themselves, and where the two, and the arm, do not fit together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from vla_uq.contracts import Reference, Space

EE_NAMES = ("x", "y", "z", "rx", "ry", "rz")


@dataclass(frozen=True)
class PolicyAnnouncement:
    """A ``PolicyInfo``; ``step_duration`` in s, ``last_inference_age`` in s or -1 before the first."""

    run_id: bytes
    fingerprint: str
    space: Space
    reference: Reference
    names: tuple[str, ...]
    horizon: int
    dim: int
    step_duration: float
    execute_steps: int
    last_inference_age: float = -1.0

    @classmethod
    def from_message(cls, message: Any) -> PolicyAnnouncement:
        """Read a ``PolicyInfo``.

        :raises ValueError: unknown space or reference.
        """
        return cls(
            run_id=bytes(bytearray(message.run_id)),
            fingerprint=str(message.fingerprint),
            space=Space(message.space),
            reference=Reference(message.reference),
            names=tuple(message.names),
            horizon=int(message.horizon),
            dim=int(message.dim),
            step_duration=message.step_duration.sec + message.step_duration.nanosec * 1e-9,
            execute_steps=int(message.execute_steps),
            last_inference_age=float(message.last_inference_age),
        )


@dataclass(frozen=True)
class MonitorAnnouncement:
    """A ``MonitorInfo``: the policy that the monitor's bundle was calibrated for."""

    run_id: bytes
    policy_fingerprint: str
    space: Space
    horizon: int
    dim: int
    step_duration: float
    execute_steps: int
    bundle_digest: str = ""
    last_score_age: float = -1.0

    @classmethod
    def from_message(cls, message: Any) -> MonitorAnnouncement:
        """Read a ``MonitorInfo``.

        :raises ValueError: unknown space.
        """
        return cls(
            run_id=bytes(bytearray(message.run_id)),
            policy_fingerprint=str(message.policy_fingerprint),
            space=Space(message.space),
            horizon=int(message.horizon),
            dim=int(message.dim),
            step_duration=message.step_duration.sec + message.step_duration.nanosec * 1e-9,
            execute_steps=int(message.execute_steps),
            bundle_digest=str(message.bundle_digest),
            last_score_age=float(message.last_score_age),
        )


def mismatch(policy: PolicyAnnouncement, monitor: MonitorAnnouncement) -> str:
    """First field in which the running policy is not the one that the monitor was calibrated for, or ""."""
    pairs: tuple[tuple[str, object, object], ...] = (
        ("fingerprint", monitor.policy_fingerprint, policy.fingerprint),
        ("space", monitor.space.name, policy.space.name),
        ("horizon", monitor.horizon, policy.horizon),
        ("dim", monitor.dim, policy.dim),
        ("execute_steps", monitor.execute_steps, policy.execute_steps),
    )
    for name, expected, found in pairs:
        if expected != found:
            return f"policy.{name}: the monitor's bundle expects {expected}, found {found}"
    if not same_time(policy.step_duration, monitor.step_duration):
        expected, found = f"{monitor.step_duration:g} s", f"{policy.step_duration:g} s"
        return f"policy.step_duration: the monitor's bundle expects {expected}, found {found}"
    return ""


def malformed(policy: PolicyAnnouncement) -> str:
    """First field of an announcement that contradicts the others, or ""."""
    if policy.dim != len(policy.names):
        return f"policy.names: expected {policy.dim} (dim), found {len(policy.names)}"
    if policy.space in (Space.EE_POSE, Space.EE_DELTA) and policy.names != EE_NAMES:
        return f"policy.names: expected {' '.join(EE_NAMES)}, found {' '.join(policy.names)}"
    if not 1 <= policy.execute_steps <= policy.horizon:
        return f"policy.execute_steps: expected 1..{policy.horizon}, found {policy.execute_steps}"
    if not (math.isfinite(policy.step_duration) and policy.step_duration > 0):
        return f"policy.step_duration: expected a time above 0, found {policy.step_duration}"
    return ""


def same_time(a: float, b: float) -> bool:
    """Equal to the microsecond: durations travel in nanoseconds and are made from floats."""
    return abs(a - b) < 1e-6
