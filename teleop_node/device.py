"""A device's map: which channel moves what. Data, read from ``config/teleop/<name>.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, field

from teleop_node.values import Wish

DIRECTIONS = ("x", "y", "z", "rx", "ry", "rz")
"""Of a velocity: m/s and rad/s in the arm's base frame."""


@dataclass(frozen=True)
class Input:
    """A topic of the device, or its keyboard.

    :param type: a key of :data:`teleop_node.messages.READERS`, or ``keyboard``.
    :param silent: says nothing while nothing moves: silence lets nothing go. Never of a velocity or the deadman.
    """

    topic: str
    type: str
    silent: bool = False


@dataclass(frozen=True)
class Term:
    """``scale`` · channel + ``offset``; ``<input>.<channel>`` in the file. A button is pressed above one half."""

    input: str
    channel: str
    scale: float = 1.0
    offset: float = 0.0

    def __str__(self) -> str:
        return f"{self.input}.{self.channel}"


@dataclass(frozen=True)
class Velocity:
    """Sticks, knobs, keys: rates that are integrated from the arm's pose at the takeover. Always relative.

    :param axes: direction to the terms that add up to its rate (m/s, rad/s).
    :param deadzone: of the raw channel: smaller values count as zero.
    :param leash: largest distance of the target from the measured arm (m, rad).
    """

    axes: dict[str, tuple[Term, ...]]
    deadzone: float
    leash: tuple[float, float]


@dataclass(frozen=True)
class Tracked:
    """A device that measures its own pose.

    :param input: whose pose.
    :param absolute: its pose is the target as it stands; otherwise its displacement since the clutch was closed is.
    :param scale: of the displacement's translation; 1 for absolute ones.
    :param max_join: largest distance from the arm at the engagement of an absolute device (m, rad).
    """

    input: str
    absolute: bool
    scale: float
    max_join: tuple[float, float]


@dataclass(frozen=True)
class Leader:
    """A leader arm whose joints are the follower's. Always absolute.

    :param base: link of the robot description that poses are given in.
    :param tip: link whose pose the supervisor commands.
    :param joints: the follower's joint to the term that gives its angle (rad).
    :param max_join: largest joint error (rad) at the engagement.
    """

    base: str
    tip: str
    joints: dict[str, Term]
    max_join: float


@dataclass(frozen=True)
class Grip:
    """The gripper: two buttons, one that toggles, or an analogue opening."""

    close: Term | None = None
    open: Term | None = None
    toggle: Term | None = None
    opening: Term | None = None


@dataclass(frozen=True)
class Device:
    """A whole map.

    :param timeout: silence (s) of any input after which the device has let go.
    :param frozen: seconds of unchanged messages, while the arm is being moved, after which the device has let go: what
        a dead wireless link looks like when its receiver repeats the last state; 0: never.
    :param deadman: held while the arm may follow.
    :param clutch: the arm follows while it is closed; None: always.
    """

    name: str
    inputs: dict[str, Input]
    timeout: float
    frozen: float
    deadman: Term
    motion: Velocity | Tracked | Leader
    clutch: Term | None = None
    gripper: Grip = field(default_factory=Grip)
    buttons: dict[Wish, Term] = field(default_factory=dict)
