"""What a person at a teleop device does when the supervisor asks for a takeover. Pure; time is handed in.

Waits a moment with the deadman released, holds it and shows the arm's own pose, takes over, restores what was pushed
or else finishes the task, gives back, and lets go. After restoring, it asks the policy to go on, once an episode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray
from vla_monitor.msg import SupervisorState

from sim_node.actions import target_of
from sim_node.expert import act, go, put_back
from sim_node.teleop.mirror import Mirror

Vector = NDArray[np.float64]
SPEED = 0.6
"""Of the expert's: nobody moves a teleop device at full tilt."""
SETTLE = 0.4
"""Seconds with the device on the arm's own pose: before asking, and after the takeover until the gripper is met."""
RETRY = 0.6
"""Seconds between two requests of the same wish; longer than the supervisor's cooldown."""
TRIES = 6
DONE_FOR = 0.5
"""Seconds that a success must last before the device is let go."""
PATIENCE = 30.0
"""Seconds of teleoperation after which a person gives up."""


class Wish(Enum):
    """Services of the supervisor that a person calls."""

    TAKE = "set_intervention true"
    GIVE = "set_intervention false"
    RESUME = "resume"


@dataclass(frozen=True, eq=False)
class Handling:
    """What the device does now.

    :param active: the deadman is held.
    :param target: pose of the grip frame (3,) m, (3, 3), or None.
    :param gripper: opening, 0 closed to 1 open, or None.
    :param wish: a service to call now.
    """

    active: bool = False
    target: tuple[Vector, Vector] | None = None
    gripper: float | None = None
    wish: Wish | None = None


class _Phase(Enum):
    WATCHING = auto()
    REACTING = auto()  # deadman released
    REACHING = auto()  # deadman held, device on the arm's pose, asking
    DRIVING = auto()
    GIVING = auto()  # still held until the supervisor has stopped the arm
    RESUMING = auto()  # released; asking for the policy
    FINISHED = auto()  # until the supervisor leaves this halt


_AT_THE_ARM = (SupervisorState.HALTING, SupervisorState.HALTED, SupervisorState.TELEOP)


class Operator:
    """One person, one device.

    :param delay: reaction time (s).
    :param auto: reacts to takeover requests; otherwise only watches.
    """

    def __init__(self, delay: float = 0.5, auto: bool = True) -> None:
        self.auto, self._delay = auto, delay
        self._phase, self._since = _Phase.WATCHING, 0.0
        self._asked_at, self._tries = -np.inf, 0
        self._succeeded_at: float | None = None
        self._handed_back = self._restored = ""
        self._steps: dict[_Phase, Callable[[float, Mirror, SupervisorState], Handling]] = {
            _Phase.WATCHING: self._watching,
            _Phase.REACTING: self._reacting,
            _Phase.REACHING: self._reaching,
            _Phase.DRIVING: self._driving,
            _Phase.GIVING: self._giving,
            _Phase.RESUMING: self._resuming,
            _Phase.FINISHED: lambda *_: Handling(),
        }

    def step(self, now: float, mirror: Mirror, supervisor: SupervisorState) -> Handling:
        """Look, and act.

        :param now: steady time (s).
        """
        state = supervisor.state
        if self._phase is not _Phase.WATCHING and (state not in _AT_THE_ARM or not self.auto):
            self._enter(_Phase.WATCHING, now)
        return self._steps[self._phase](now, mirror, supervisor)

    def _enter(self, phase: _Phase, now: float) -> None:
        self._phase, self._since = phase, now
        self._asked_at, self._tries = -np.inf, 0

    def _ask(self, wish: Wish, now: float) -> Wish | None:
        """The wish, if it is time to utter it (again)."""
        if now - self._asked_at < RETRY:
            return None
        self._asked_at, self._tries = now, self._tries + 1
        return wish

    # -- phases ------------------------------------------------------------------------------------------------------
    def _watching(self, now: float, mirror: Mirror, supervisor: SupervisorState) -> Handling:
        if self.auto and supervisor.state == SupervisorState.HALTED and supervisor.takeover_requested:
            self._enter(_Phase.REACTING, now)
        return Handling()

    def _reacting(self, now: float, mirror: Mirror, supervisor: SupervisorState) -> Handling:
        if now - self._since >= self._delay:
            self._enter(_Phase.REACHING, now)
        return Handling()

    def _reaching(self, now: float, mirror: Mirror, supervisor: SupervisorState) -> Handling:
        if supervisor.state == SupervisorState.TELEOP:
            self._enter(_Phase.DRIVING, now)
            self._succeeded_at = None
        elif self._tries > TRIES:
            self._enter(_Phase.FINISHED, now)
            return Handling()
        ready = now - self._since >= SETTLE and supervisor.state == SupervisorState.HALTED
        return self._rest(mirror, self._ask(Wish.TAKE, now) if ready else None)

    def _driving(self, now: float, mirror: Mirror, supervisor: SupervisorState) -> Handling:
        if supervisor.state != SupervisorState.TELEOP:  # the supervisor took it away; it may ask again
            self._enter(_Phase.WATCHING, now)
            return Handling()
        if now - self._since < SETTLE:
            return self._rest(mirror)
        action = self._next(now, mirror, supervisor.episode_id)
        if action is None or now - self._since > PATIENCE:
            self._enter(_Phase.GIVING, now)
            return self._rest(mirror)
        position, rotation, gripper = target_of(np.append(SPEED * action[:6], action[6]), *_pose(mirror))
        return Handling(True, (position, rotation), gripper)

    def _next(self, now: float, mirror: Mirror, episode: str) -> Vector | None:
        """The expert's next action, or None when all is done."""
        scene, thing = mirror.scene, mirror.task.movable
        if mirror.home_xy.size and thing is not None and not mirror.success and self._handed_back != episode:
            action = put_back(scene, thing, mirror.home_xy)
            if action is None:
                action = go(scene, scene.robot.above)  # there a restored scene is handed back
            if action is None:
                self._restored = episode
            return action
        if not mirror.success:
            self._succeeded_at = None
        elif self._succeeded_at is None:
            self._succeeded_at = now
        if self._succeeded_at is not None and now - self._succeeded_at >= DONE_FOR:
            return None
        return act(scene, mirror.task.goals)

    def _giving(self, now: float, mirror: Mirror, supervisor: SupervisorState) -> Handling:
        if supervisor.state == SupervisorState.HALTED:
            again = self._restored == supervisor.episode_id != self._handed_back
            self._enter(_Phase.RESUMING if again else _Phase.FINISHED, now)
            return Handling()
        return self._rest(mirror, self._ask(Wish.GIVE, now) if supervisor.state == SupervisorState.TELEOP else None)

    def _resuming(self, now: float, mirror: Mirror, supervisor: SupervisorState) -> Handling:
        self._handed_back = supervisor.episode_id
        if self._tries >= TRIES:
            self._enter(_Phase.FINISHED, now)
        return Handling(wish=self._ask(Wish.RESUME, now) if now - self._since >= RETRY else None)

    @staticmethod
    def _rest(mirror: Mirror, wish: Wish | None = None) -> Handling:
        """The device on the arm's own pose and on the gripper's last command."""
        return Handling(True, _pose(mirror), mirror.scene.opening, wish)


def _pose(mirror: Mirror) -> tuple[Vector, Vector]:
    return mirror.scene.position, mirror.scene.rotation
