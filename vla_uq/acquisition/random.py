"""Random: the comparator that knows nothing."""

from __future__ import annotations

from collections.abc import Sequence

from vla_uq.acquisition.candidates import Candidate, Round, by_task, check_budget, generator
from vla_uq.errors import InputError


class Random:
    """Uniform over all candidate episodes, without replacement in a round, with it between rounds.

    :param budget: demonstrations a round.
    :param allow_repeat: false where an initial state cannot be shown twice, as on a real robot.
    """

    name = "random"

    def __init__(self, budget: int = 5, seed: int = 0, *, allow_repeat: bool = True) -> None:
        self.budget, self.seed, self.allow_repeat = check_budget(budget), seed, allow_repeat

    def choose(self, index: int, candidates: Sequence[Candidate], acquired: Sequence[Candidate]) -> Round:
        """See :meth:`Strategy.choose`."""
        shown = set() if self.allow_repeat else set(acquired)
        pool = [c for group in by_task(candidates).values() for c in group if c not in shown]
        if not pool:
            raise InputError("every candidate has been shown", where="candidates", remedy="offer new initial states")
        drawn = generator(self.seed, self.name, index).sample(pool, min(self.budget, len(pool)))
        return Round(index, tuple(drawn))
