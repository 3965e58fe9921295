"""Random: the comparator that knows nothing."""

from __future__ import annotations

from collections.abc import Sequence

from vla_uq.acquisition.candidates import Candidate, Round, by_task, check_budget, generator


class Random:
    """Uniform over all candidate episodes, without replacement in a round, with it between rounds.

    :param budget: demonstrations a round.
    """

    name = "random"

    def __init__(self, budget: int = 5, seed: int = 0) -> None:
        self.budget, self.seed = check_budget(budget), seed

    def choose(self, index: int, candidates: Sequence[Candidate], acquired: Sequence[Candidate]) -> Round:
        """See :meth:`Strategy.choose`."""
        pool = [c for group in by_task(candidates).values() for c in group]
        drawn = generator(self.seed, self.name, index).sample(pool, min(self.budget, len(pool)))
        return Round(index, tuple(drawn))
