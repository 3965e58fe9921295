"""What can be demonstrated, and what a round of acquisition decided."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from vla_uq.errors import InputError


@dataclass(frozen=True, order=True)
class Candidate:
    """An episode, or an initial state, that could be demonstrated.

    :param task: the instruction.
    :param episode_id: unique among all candidates.
    """

    task: str
    episode_id: str


@dataclass(frozen=True)
class Round:
    """One round's decision.

    :param chosen: candidates to demonstrate, in the order in which they were chosen; one may occur in several rounds.
    :param log: JSON values that explain it: for SAVE every u and P.
    """

    index: int
    chosen: tuple[Candidate, ...]
    log: Mapping[str, Any] = field(default_factory=dict)


class Strategy(Protocol):
    """Chooses which candidates are demonstrated next."""

    name: str

    def choose(self, index: int, candidates: Sequence[Candidate], acquired: Sequence[Candidate]) -> Round:
        """Decide round ``index`` (from 0).

        :param candidates: everything that could be chosen.
        :param acquired: what earlier rounds chose, oldest first.
        :raises InputError: when there is nothing left to choose.
        """


def generator(seed: int, stream: str, index: int) -> random.Random:
    """The random numbers of one round: the same whatever other rounds and strategies drew."""
    return random.Random(f"{seed}:{stream}:{index}")


def by_task(candidates: Sequence[Candidate]) -> dict[str, list[Candidate]]:
    """Candidates of each task, tasks and candidates in alphabetical order.

    :raises InputError: when there are none, or an episode occurs twice.
    """
    if not candidates:
        raise InputError("nothing to choose from", where="candidates")
    if len({c.episode_id for c in candidates}) < len(candidates):
        raise InputError("an episode occurs twice", where="candidates")
    groups: dict[str, list[Candidate]] = {}
    for candidate in sorted(candidates):
        groups.setdefault(candidate.task, []).append(candidate)
    return groups


def check_budget(budget: int) -> int:
    """A number of demonstrations a round.

    :raises InputError: when it is below 1.
    """
    if budget < 1:
        raise InputError("too small", where="budget", expected="at least 1", found=budget)
    return budget
