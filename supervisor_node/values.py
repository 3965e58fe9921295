"""What goes into a step of the supervisor and what comes out. Plain values; units SI, poses in the arm's base frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from supervisor_node.announcements import MonitorAnnouncement, PolicyAnnouncement
from supervisor_node.states import Label, Mode, Moment, Reason, Risk, Source, State
from vla_uq.contracts import Chunk, Key, Score

Vector = NDArray[np.float64]
Stamp = tuple[int, int]
NO_KEY = Key(bytes(16), 0, "", 0)
"""The key of messages that are about no inference."""


# -- in ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class JointState:
    """Measured joints, by name: rad (m for sliding joints)."""

    names: tuple[str, ...]
    positions: Vector
    stamp: Stamp = (0, 0)


@dataclass(frozen=True, eq=False)
class Pose:
    """Pose of the grip frame: position (3,) m, rotation (3, 3). Not finite where a message made no sense."""

    position: Vector
    rotation: Vector
    stamp: Stamp = (0, 0)

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.position).all() and np.isfinite(self.rotation).all())


class Wish(Enum):
    """What an operator may ask for; the services of the node."""

    START = "start_episode"
    END = "end_episode"
    HALT = "halt"
    RESUME = "resume"
    RESET = "reset"
    RECOVER = "recover_robot"
    TAKE = "set_intervention true"
    GIVE = "set_intervention false"


@dataclass(frozen=True)
class Request:
    """An operator's request; every one is answered by exactly one :class:`Reply` of the same ``id``, maybe later."""

    id: int
    wish: Wish
    instruction: str = ""
    label: Label = Label.UNKNOWN
    note: str = ""


@dataclass(frozen=True)
class ResetAck:
    """The policy's answer to ``reset_policy``."""

    ok: bool
    message: str = ""
    run_id: bytes = bytes(16)
    first_sequence: int = 0


@dataclass(frozen=True, eq=False)
class Inputs:
    """What is new since the last step; everything may be missing.

    :param tick: the control timer fired (not used in lockstep).
    :param bad_chunk: why a chunk message could not be read; ``bad_score`` likewise.
    :param lease: message of the teleop device: its deadman is held.
    :param teleop_gripper: opening asked for, 0 closed to 1 open.
    :param halt: message of a halt button, true while it is pressed.
    :param publishers: command topic to the number of its publishers, ours included.
    :param subscribers: command topic to the number of its subscribers.
    :param qos: first endpoint on our topics whose quality of service does not fit ours; empty: none any more.
    :param other_supervisor: a state message of another supervisor came.
    :param clock_jump: how the simulation's clock jumped.
    :param hardware: what the arm's driver reports as broken; empty: nothing any more.
    :param adapter: why the arm's driver cannot be used as it is; ``foreign_goal``: whose goals run on the arm.
    :param recovered: the driver's answer to a recovery of the robot: why it failed, empty when it is done.
    :param error: an exception that was caught outside of the step.
    :param shutdown: the process is asked to end.
    """

    tick: bool = False
    joints: JointState | None = None
    pose: Pose | None = None
    chunk: Chunk | None = None
    bad_chunk: str = ""
    score: Score | None = None
    bad_score: str = ""
    policy: PolicyAnnouncement | None = None
    monitor: MonitorAnnouncement | None = None
    reset_ack: ResetAck | None = None
    requests: tuple[Request, ...] = ()
    lease: bool | None = None
    teleop_pose: Pose | None = None
    teleop_gripper: float | None = None
    estop: bool | None = None
    halt: bool | None = None
    publishers: Mapping[str, int] | None = None
    subscribers: Mapping[str, int] | None = None
    qos: str | None = None
    other_supervisor: bool = False
    clock_jump: str = ""
    hardware: str | None = None
    adapter: str | None = None
    foreign_goal: str | None = None
    recovered: str | None = None
    error: str = ""
    shutdown: bool = False


# -- between -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Measured:
    """What the arm is measured to do: joints (rad, rad/s) in the profile's order, pose, opening (0…1; NaN unknown)."""

    q: Vector
    qd: Vector
    pose: Pose
    opening: float = math.nan
    stamp: Stamp = (0, 0)


@dataclass(frozen=True, eq=False)
class Motion:
    """A target for the arm: a pose, or joints (rad). ``limited``: it was shortened to the arm's limits."""

    pose: Pose | None = None
    joints: Vector | None = None
    limited: bool = False


# -- out -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Command:
    """One command for the arm and its gripper, with everything needed to derive it again.

    :param source: whose motion it is; ``NONE`` is the captured hold.
    :param gripper: opening, 0 closed to 1 open; None leaves it alone.
    :param stamp: of the joint state that it answers.
    :param key: the chunk it comes from, with ``digest`` and the ``index`` of its action.
    :param reference: pose that the step is counted from: the measured one, or the last target.
    :param requested: the teleop device's pose.
    """

    source: Source
    state: State
    motion: Motion
    gripper: float | None
    stamp: Stamp
    measured: Pose
    reference: Pose
    key: Key = NO_KEY
    digest: int = 0
    index: int = 0
    requested: Pose | None = None


@dataclass(frozen=True)
class ResetOrder:
    """Call the policy's ``reset_policy`` and hand its answer back as :class:`ResetAck`."""

    episode_id: str
    instruction: str


@dataclass(frozen=True)
class Reply:
    """Answer to a request."""

    id: int
    ok: bool
    message: str = ""
    episode_id: str = ""


@dataclass(frozen=True)
class Happening:
    """An ``EpisodeEvent``."""

    moment: Moment
    episode_id: str
    key: Key = NO_KEY
    label: Label = Label.UNKNOWN
    text: str = ""


@dataclass(frozen=True)
class Snapshot:
    """A ``SupervisorState``; see the message for the fields."""

    state: State
    previous: State
    reason: Reason
    text: str
    mode: Mode
    source: Source
    takeover_requested: bool
    intervention: bool
    risk: Risk
    episode_id: str
    released: Key
    halt_verified: bool
    alarm_to_rest: float
    failing_guards: tuple[str, ...]
    discarded_chunks: int


@dataclass(frozen=True, eq=False)
class Outputs:
    """What to do after a step, in this order: cancel, send the command, switch, publish, answer.

    :param cancel: cancel every goal of the arm (second step of the escalation).
    :param changed: the snapshot differs from the last step's: publish it now, not at the next repetition.
    :param rephase: a command was sent outside of a tick: the next tick is due one period from now.
    :param switch_to: hold controller to switch to (third step of the escalation).
    :param recover: begin the recovery of the robot, and hand its answer back as ``recovered``.
    :param waiting: in lockstep, an observation is unanswered until a chunk (or teleop pose) comes.
    :param exit: at rest or out of time after ``shutdown``: the process may end.
    """

    state: Snapshot
    changed: bool
    command: Command | None = None
    cancel: bool = False
    reset: ResetOrder | None = None
    happenings: tuple[Happening, ...] = ()
    replies: tuple[Reply, ...] = ()
    rephase: bool = False
    switch_to: str = ""
    recover: bool = False
    waiting: bool = False
    exit: bool = False
