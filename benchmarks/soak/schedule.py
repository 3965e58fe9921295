"""Who is killed when, and how: drawn once from the seed, so that a run can be repeated. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VICTIMS = ("policy_node", "monitor_node", "supervisor_node")
EARLIEST, LATEST = 0.3, 2.5
"""Seconds of autonomy before the signal, drawn evenly; it then waits until the arm is fast enough."""


@dataclass(frozen=True)
class Kill:
    """One signal.

    :param hangs: the process is stopped (SIGSTOP) and lives on without doing anything; else it is killed (SIGKILL).
    :param delay: seconds of autonomy before it.
    """

    victim: str
    hangs: bool
    delay: float

    @property
    def signal(self) -> str:
        """Name of the signal."""
        return "SIGSTOP" if self.hangs else "SIGKILL"


def schedule(kills: int, seed: int) -> list[Kill]:
    """``kills`` signals in random order: every victim as often as the others, and half of each one's stopped.

    Where numbers are odd the first victims get one more, and killing and stopping take turns in getting one more.
    """
    rng = np.random.default_rng(seed)
    drawn = []
    for number, victim in enumerate(VICTIMS):
        times = kills // len(VICTIMS) + (number < kills % len(VICTIMS))
        drawn += [(victim, (turn + number) % 2 == 1) for turn in range(times)]
    return [
        Kill(victim, hangs, float(rng.uniform(EARLIEST, LATEST)))
        for victim, hangs in (drawn[index] for index in rng.permutation(len(drawn)))
    ]
