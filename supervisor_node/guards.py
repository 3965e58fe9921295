"""The guards: everything that must hold before and while something moves the arm. Each one names itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from supervisor_node.announcements import mismatch
from supervisor_node.arms.base import Arm
from supervisor_node.config import Config
from supervisor_node.ensembling import SPACES
from supervisor_node.senses import Senses
from supervisor_node.states import Mode
from supervisor_node.table import Event


@dataclass(frozen=True)
class Failure:
    """A guard that does not hold, the event it raises, and why."""

    name: str
    event: Event
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


@dataclass(frozen=True, eq=False)
class Situation:
    """What guards look at."""

    now: float
    senses: Senses
    arm: Arm
    config: Config
    mode: Mode


def _joint_states(s: Situation) -> str:
    """All joints of the profile are there, finite and fresh."""
    return s.senses.joints_problem or _old(s.now - s.senses.joints_at, s.config.joints_timeout)


def _current_pose(s: Situation) -> str:
    """The grip frame's pose is there, finite and fresh."""
    return s.senses.pose_problem or _old(s.now - s.senses.pose_at, s.config.joints_timeout)


def _hardware(s: Situation) -> str:
    """The arm's driver reports no error: its controllers are active, its mode is the right one."""
    return s.senses.hardware


def _commissioned(s: Situation) -> str:
    """The arm's profile was measured on it; in shadow mode, where no alarm stops it, a data sheet will do."""
    profile = s.arm.profile
    if s.mode is Mode.SHADOW or profile.commissioned is not None:
        return ""
    return (
        f"{profile.name} was not measured on this arm: vla-monitor commission --robot {profile.name} "
        f"--out my_{profile.name}.yaml, and that file as parameter robot; until then, shadow mode"
    )


def _adapter(s: Situation) -> str:
    """The driver is ready: what it needs of the robot was found, and no hold controller of ours holds the arm."""
    return s.senses.adapter


def _foreign_goal(s: Situation) -> str:
    """Nobody else's goal runs on the arm."""
    return s.senses.foreign_goal


def _estop(s: Situation) -> str:
    """The e-stop input is fresh and not pressed, where one is wired."""
    if not s.config.require_estop:
        return ""
    return "pressed" if s.senses.estop else _old(s.now - s.senses.estop_at, s.config.joints_timeout)


def _halt_button(s: Situation) -> str:
    """No halt button is pressed."""
    return "still pressed" if s.senses.halt else ""


def _policy(s: Situation) -> str:
    """The policy's announcements are fresh."""
    return _heartbeat(s, s.senses.policies) if s.config.require_policy else ""


def _one_policy(s: Situation) -> str:
    """One policy announces itself, not two."""
    return _alone(s, s.senses.policies)


def _policy_fits_arm(s: Situation) -> str:
    """The arm can execute what the policy announces, in the way that is set."""
    policy = s.senses.policy
    if policy is not None and s.config.ensembling >= 0 and policy.space not in SPACES:
        return (
            f"policy.space: ensembling needs {' or '.join(sorted(x.name for x in SPACES))}, found {policy.space.name}"
        )
    return s.arm.refuses(policy) if policy is not None else ""


def _monitor(s: Situation) -> str:
    """The monitor's announcements are fresh."""
    return _heartbeat(s, s.senses.monitors) if s.config.require_monitor else ""


def _one_monitor(s: Situation) -> str:
    """One monitor announces itself, not two."""
    return _alone(s, s.senses.monitors)


def _monitor_fits_policy(s: Situation) -> str:
    """The monitor's bundle was calibrated for this policy."""
    policy, monitor = s.senses.policy, s.senses.monitor
    return mismatch(policy, monitor) if policy is not None and monitor is not None else ""


def _sole_publisher(s: Situation) -> str:
    """Nobody else publishes on the robot's command topics (the deadman is expected)."""
    for topic, count in s.senses.publishers.items():
        if count > 1:
            return f"{count} publishers on {topic}, expected 1 (one that was killed is seen until its DDS lease ends)"
    return ""


def _sole_supervisor(s: Situation) -> str:
    """No other supervisor is at work."""
    return "another supervisor publishes its state" if s.now - s.senses.foreign_at < s.config.heartbeat_timeout else ""


def _quality_of_service(s: Situation) -> str:
    """Every publisher on our topics can be heard: its quality of service fits."""
    return s.senses.qos


def _listeners(s: Situation) -> str:
    """The robot listens on every command topic."""
    for topic, count in s.senses.subscribers.items():
        if count < 1:
            return f"nobody listens on {topic}"
    return ""


def _old(age: float, limit: float) -> str:
    return "" if age <= limit else f"nothing for {age:.2f} s, at most {limit:g} s"


def _heartbeat(s: Situation, runs: Mapping[bytes, float]) -> str:
    if not runs:
        return "no announcement received"
    # In lockstep the clock runs on simulated steps, which wait for policy and monitor: their silence stops it.
    return "" if s.config.lockstep else _old(s.now - max(runs.values()), s.config.heartbeat_timeout)


def _alone(s: Situation, runs: Mapping[bytes, float]) -> str:
    if s.config.lockstep:
        return ""
    alive = [run.hex()[:8] for run, at in runs.items() if s.now - at <= s.config.heartbeat_timeout]
    return f"{len(alive)} processes announce themselves: {', '.join(sorted(alive))}" if len(alive) > 1 else ""


GUARDS: tuple[tuple[str, Event, Callable[[Situation], str]], ...] = (
    ("joint_states", Event.ROBOT_STALE, _joint_states),
    ("current_pose", Event.ROBOT_STALE, _current_pose),
    ("hardware", Event.HARDWARE, _hardware),
    ("estop", Event.ESTOP, _estop),
    ("halt_button", Event.HALT, _halt_button),
    ("sole_publisher", Event.FOREIGN_PUBLISHER, _sole_publisher),
    ("foreign_goal", Event.FOREIGN_PUBLISHER, _foreign_goal),
    ("sole_supervisor", Event.FOREIGN_PUBLISHER, _sole_supervisor),
    ("one_policy", Event.FOREIGN_PUBLISHER, _one_policy),
    ("one_monitor", Event.FOREIGN_PUBLISHER, _one_monitor),
    ("policy", Event.POLICY_STALE, _policy),
    ("monitor", Event.MONITOR_STALE, _monitor),
    ("commissioned", Event.GUARD, _commissioned),
    ("adapter", Event.GUARD, _adapter),
    ("policy_fits_arm", Event.GUARD, _policy_fits_arm),
    ("monitor_fits_policy", Event.GUARD, _monitor_fits_policy),
    ("quality_of_service", Event.GUARD, _quality_of_service),
    ("listeners", Event.GUARD, _listeners),
)
OF_THE_ROBOT = frozenset(
    {"joint_states", "current_pose", "hardware", "estop", "halt_button", "sole_publisher", "sole_supervisor"}
    | {"adapter", "foreign_goal", "commissioned"}
)
"""Guards that a takeover and a reset need: they hold without policy and monitor."""


def failures(situation: Situation) -> Iterator[Failure]:
    """The guards that do not hold."""
    for name, event, guard in GUARDS:
        text = guard(situation)
        if text:
            yield Failure(name, event, text)
