"""What the demo plays, as data. Seeds are consecutive and tasks come in the registry's order: none is chosen."""

from __future__ import annotations

from dataclasses import dataclass

from vla_cli.episodes import NOMINAL, SEEDS
from vla_cli.robots import FRANKA

FIRST_SEED = SEEDS["demo"].first


@dataclass(frozen=True)
class Scenario:
    """One kind of episode.

    :param name: in the summary: ``nominal…``, ``ood_…`` or ``kill_…``.
    :param disturbance: of the scene, as `vla-monitor tasks` lists them.
    :param kills: the process that is killed in mid-episode, or nothing.
    :param episodes: how many, each with the next seed.
    """

    name: str
    disturbance: str = NOMINAL
    kills: str = ""
    episodes: int = 1


SCENARIOS = (
    Scenario("nominal", episodes=5),
    Scenario("ood_pushed", "push", episodes=4),
    Scenario("ood_lights", "lights", episodes=2),
    Scenario("ood_unseen_instruction", "unseen", episodes=2),
    Scenario("ood_outside", "outside", episodes=2),
    Scenario("kill_monitor", kills="monitor_node"),
    Scenario("kill_policy", kills="policy_node"),
    # Last: the killed supervisor's publishers stay in the graph until their lease ends, and nobody may arm beside them.
    Scenario("kill_supervisor", kills="supervisor_node"),
)


@dataclass(frozen=True)
class Planned:
    """One episode of the demo."""

    scenario: Scenario
    task: str
    seed: int


def plan(first_seed: int = FIRST_SEED, robot: str = FRANKA) -> list[Planned]:
    """All episodes in order: the k-th one plays the k-th task of its disturbance (modulo their number).

    The kills begin again with the first seed: they are about what is killed, so they replay the nominal episodes.
    """
    from sim_node.disturbances import disturbance_of

    planned: list[Planned] = []
    kills = 0
    for scenario in SCENARIOS:
        tasks = disturbance_of(scenario.disturbance).tasks(robot)
        for _ in range(scenario.episodes):
            number = kills if scenario.kills else len(planned)
            kills += bool(scenario.kills)
            planned.append(Planned(scenario, tasks[number % len(tasks)].instruction, first_seed + number))
    return planned
