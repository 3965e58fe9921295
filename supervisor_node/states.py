"""The numbers of SupervisorState.msg, EpisodeEvent.msg and EndEpisode.srv, for code that knows no ROS."""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """What the supervisor is doing (``SupervisorState.state``)."""

    UNKNOWN = 0
    IDLE = 1
    AUTONOMOUS = 2
    HALTING = 3
    HALTED = 4
    TELEOP = 5
    RESUMING = 6
    FAULT = 7
    SHUTDOWN = 8


class Reason(IntEnum):
    """Why a state was entered (``SupervisorState.REASON_*``)."""

    NONE = 0
    ALERT = 1
    OPERATOR = 2
    ESTOP = 3
    BAD_SCORE = 4
    BAD_CHUNK = 5
    MONITOR_STALE = 6
    POLICY_STALE = 7
    ROBOT_STALE = 8
    GUARD = 9
    FOREIGN_PUBLISHER = 10
    CLOCK_JUMP = 11
    RESUME_TIMEOUT = 12
    JOIN_TOO_LARGE = 13
    LEASE_LOST = 14
    TELEOP_RELEASED = 15
    INTERVENTION = 16
    EPISODE_END = 17
    HALT_UNVERIFIED = 18
    HARDWARE = 19
    INTERNAL = 20
    SHUTDOWN = 21
    FROZEN_CAMERA = 22
    QUEUE_EMPTY = 23


class Mode(IntEnum):
    """``SHADOW`` scores and records, and halts nothing on a score; ``GUARD`` executes passing chunks only."""

    SHADOW = 0
    GUARD = 1


class Source(IntEnum):
    """Who moves the arm (``SupervisorState.SOURCE_*``): ``NONE`` is nobody, or a hold."""

    NONE = 0
    POLICY = 1
    TELEOP = 2


class Risk(IntEnum):
    """How near the newest score is to its threshold (``SupervisorState.RISK_*``)."""

    OK = 0
    WARN = 1
    ALERT = 2


class Moment(IntEnum):
    """A moment of an episode (``EpisodeEvent.event``); ``OPERATOR``: a person's request was granted, see the text."""

    STARTED = 0
    ALARM = 1
    HALTED = 2
    TAKEOVER = 3
    RESUMED = 4
    ENDED = 5
    OPERATOR = 6


class Label(IntEnum):
    """How an episode ended, as the operator says (``EpisodeEvent``, ``EndEpisode``)."""

    UNKNOWN = 0
    SUCCESS = 1
    FAILURE = 2
    DISCARD = 3


MOVING = frozenset({State.AUTONOMOUS, State.TELEOP})
"""States in which somebody's commands reach the arm."""
HOLDING = frozenset({State.HALTING, State.HALTED, State.FAULT, State.SHUTDOWN})
"""States in which copies of the one captured hold are sent."""
