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
        order = self._order(np.stack([self.embeddings[c.episode_id] for c in ordered]))
        distances = {ordered[i]: distance for i, distance in order}
        chosen = [c for c in distances if c not in shown][: self.budget]
        if not chosen:
            raise InputError("every candidate has been shown", where="candidates", remedy="offer new initial states")
        return Round(index, tuple(chosen), {"distances": {c.episode_id: distances[c] for c in chosen}})

    def _order(self, points: NDArray[np.floating[Any]]) -> list[tuple[int, float | None]]:
        """Each next point is the one farthest from all before it, with that distance; the first is random."""
        first = generator(self.seed, self.name, 0).randrange(len(points))
        order: list[tuple[int, float | None]] = [(first, None)]
        nearest = np.linalg.norm(points - points[first], axis=1)
        nearest[first] = -1.0
        while len(order) < len(points):
            farthest = int(nearest.argmax())
            order.append((farthest, float(nearest[farthest])))
            nearest = np.minimum(nearest, np.linalg.norm(points - points[farthest], axis=1))
            nearest[farthest] = -1.0
        return order
