"""Plays every episode of the demo on the running system; what happened is in the bag."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from vla_cli.demo.player import Player
from vla_cli.demo.results import Outcome
from vla_cli.demo.scenarios import Planned
from vla_cli.demo.system import running
from vla_cli.robots import FRANKA


def run(
    planned: Sequence[Planned],
    out: Path,
    policy: Path,
    bundle: Path,
    say: Callable[[str], None],
    robot: str = FRANKA,
) -> list[Outcome]:
    """Play the episodes and record them into ``out/bag``.

    :raises DemoError: when something does not happen in time, or a process ends by itself.
    """
    with running(out, policy, bundle, say, robot=robot) as system:
        after = max(episode.seed for episode in planned) + 1
        player = Player(system.director, system.processes, count(after), say)
        outcomes = []
        for number, episode in enumerate(planned, 1):
            say(f"[{number}/{len(planned)}] {episode.scenario.name}: {episode.task} (seed {episode.seed})")
            outcomes.append(player.play(episode))
        system.finish()
        return outcomes
