"""Everything the supervisor remembers from step to step, in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from supervisor_node.arms.base import Arm
from supervisor_node.config import Config
from supervisor_node.desk import Desk
from supervisor_node.episode import Episode
from supervisor_node.gate import Gate
from supervisor_node.gripper import GripperPass
from supervisor_node.guards import Failure, Situation, failures
from supervisor_node.lease import Lease
from supervisor_node.senses import Senses
from supervisor_node.states import Mode, Reason, Risk, State
from supervisor_node.table import Event
from supervisor_node.values import Happening, Motion, ResetOrder

Vector = NDArray[np.float64]


@dataclass(eq=False)
class Step:
    """What one step produced so far.

    :param at_once: a command is due now, not at the next tick.
    """

    happenings: list[Happening] = field(default_factory=list)
    reset: ResetOrder | None = None
    cancel: bool = False
    switch_to: str = ""
    recover: bool = False
    at_once: bool = False


@dataclass(eq=False)
class Memory:
    """The supervisor's state and its parts.

    :param prefix: first part of the ids of its episodes.
    :param hold: joints (rad) captured once for a halt; None while nothing holds the arm.
    :param last: motion sent last by the current source.
    :param queued: state that follows rest.
    :param halted_for: time of the event that the current or last halt answers.
    :param recover_until: time at which a recovery counts as unanswered; None: none is under way.
    :param clear_since: since when all guards have held; None: they do not.
    """

    config: Config
    arm: Arm
    prefix: str
    senses: Senses
    gate: Gate
    lease: Lease
    gripper: GripperPass = field(default_factory=GripperPass)
    desk: Desk = field(default_factory=Desk)
    step: Step = field(default_factory=Step)
    now: float = -math.inf
    state: State = State.UNKNOWN
    previous: State = State.UNKNOWN
    entered_at: float = -math.inf
    reason: Reason = Reason.NONE
    text: str = ""
    failing: tuple[Failure, ...] = ()
    clear_since: float | None = None
    episode: Episode | None = None
    episodes: int = 0
    hold: Vector | None = None
    last: Motion | None = None
    queued: State = State.HALTED
    halted_for: float = -math.inf
    halt_verified: bool = False
    alarm_to_rest: float = math.nan
    escalated: int = 0
    recover_until: float | None = None
    last_tick: float = -math.inf
    takeover_requested: bool = False
    risk: Risk = Risk.OK

    @classmethod
    def new(cls, config: Config, arm: Arm, prefix: str) -> Memory:
        """A supervisor that has seen nothing yet."""
        return cls(config, arm, prefix, Senses(arm.profile), Gate(arm, config), Lease(config.lease_timeout))

    @property
    def mode(self) -> Mode:
        return self.gate.mode

    @property
    def situation(self) -> Situation:
        """What guards look at."""
        return Situation(self.now, self.senses, self.arm, self.config, self.mode)

    @property
    def episode_id(self) -> str:
        return self.episode.id if self.episode is not None else ""

    def look(self) -> None:
        """Ask all guards; in UNKNOWN the arm must rest too, for nobody here has sent anything."""
        found = list(failures(self.situation))
        if self.state is State.UNKNOWN and not found and not self.senses.still(self.now):
            found.append(Failure("rest", Event.GUARD, "the arm moves though nothing was sent: foreign motion"))
        self.failing = tuple(found)
        if found:
            self.clear_since = None
        elif self.clear_since is None:
            self.clear_since = self.now
