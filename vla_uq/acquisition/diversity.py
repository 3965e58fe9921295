"""Diversity: cover the space of first frames, whatever the policy knows (k-center greedy, Sener and Savarese 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.acquisition.candidates import Candidate, Round, by_task, check_budget, generator
from vla_uq.errors import InputError


class Diversity:
    """The order is made once, from the embeddings alone; each round takes the next ones.

    :param embeddings: episode id to (D,), of each candidate's first frame and instruction.
    :param budget: demonstrations a round.
    """

    name = "diversity"

    def __init__(self, embeddings: Mapping[str, NDArray[np.floating[Any]]], budget: int = 5, seed: int = 0) -> None:
        self.embeddings, self.budget, self.seed = embeddings, check_budget(budget), seed

    def choose(self, index: int, candidates: Sequence[Candidate], acquired: Sequence[Candidate]) -> Round:
        """See :meth:`Strategy.choose`."""
        ordered = [c for group in by_task(candidates).values() for c in group]
        missing = [c.episode_id for c in ordered if c.episode_id not in self.embeddings]
        if missing:
            raise InputError("has no embedding", where=missing[0])
        shown = set(acquired)
        ranking = [ordered[i] for i in self._order(np.stack([self.embeddings[c.episode_id] for c in ordered]))]
        chosen = [c for c in ranking if c not in shown][: self.budget]
        if not chosen:
            raise InputError("every candidate has been shown", where="candidates", remedy="offer new initial states")
        return Round(index, tuple(chosen))

    def _order(self, points: NDArray[np.floating[Any]]) -> list[int]:
        """Each next point is the one farthest from all before it; the first is random."""
        order = [generator(self.seed, self.name, 0).randrange(len(points))]
        nearest = np.linalg.norm(points - points[order[0]], axis=1)
        while len(order) < len(points):
            nearest[order] = -1.0
            order.append(int(nearest.argmax()))
            nearest = np.minimum(nearest, np.linalg.norm(points - points[order[-1]], axis=1))
        return order
