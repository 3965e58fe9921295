"""What the bag says about each episode: its scores and the supervisor's states over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from vla_cli.bag.reader import Recorded, ends_with, read

SCORE, STATE, OVERLAY = "monitor_node/score", "supervisor_node/state", "monitor_node/overlay/compressed"


@dataclass
class EpisodeHistory:
    """One episode, times in seconds since it began.

    :param scores: (time, nonconformity, threshold) of each inference.
    :param states: (time, state) at each change.
    :param announced: when the supervisor announced itself last.
    :param end: of its last message.
    """

    mode: int = 0
    scores: list[tuple[float, float, float]] = field(default_factory=list)
    states: list[tuple[float, int]] = field(default_factory=list)
    announced: float = 0.0
    end: float = 0.0


def histories(bag: Path) -> dict[str, EpisodeHistory]:
    """Episode id to its history.

    :raises InputError: when the bag cannot be read.
    """
    return collect(read(bag, (SCORE, STATE)))


def collect(messages: Iterable[Recorded]) -> dict[str, EpisodeHistory]:
    """Sort scores and states by episode; what comes after an episode's end is left out."""
    found: dict[str, EpisodeHistory] = {}
    begun: dict[str, int] = {}
    current = ""
    ended: set[str] = set()
    for recorded in messages:
        message = recorded.message
        is_score = ends_with(recorded.topic, (SCORE,))
        episode_id = message.key.episode_id if is_score else message.episode_id
        if not is_score and episode_id != current:
            ended.add(current)
            current = episode_id
        if not episode_id or episode_id in ended:
            continue
        episode = found.setdefault(episode_id, EpisodeHistory())
        time = (recorded.time_ns - begun.setdefault(episode_id, recorded.time_ns)) * 1e-9
        episode.end = time
        if is_score:
            episode.scores.append((time, float(message.nonconformity), float(message.threshold)))
            continue
        episode.mode, episode.announced = int(message.mode), time
        if not episode.states or episode.states[-1][1] != message.state:
            episode.states.append((time, int(message.state)))
    return found
