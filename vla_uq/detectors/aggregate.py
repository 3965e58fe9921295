"""How the scores of an episode's steps become the score that is compared with a band."""

from __future__ import annotations

from typing import Literal, get_args

from vla_uq.errors import InputError

Rule = Literal["none", "cumsum", "running_mean"]
RULES: tuple[Rule, ...] = get_args(Rule)


class Aggregator:
    """Running aggregate of one episode.

    ``none`` is the step's own score, ``cumsum`` the sum so far (SAFE, eq. 2 of arXiv 2506.09937; grows with the
    episode's length), ``running_mean`` the sum divided by the number of steps. A NaN stays until the next reset with
    the last two: an episode of which one step could not be scored has no aggregate.

    :raises InputError: when the rule is unknown.
    """

    def __init__(self, rule: str) -> None:
        if rule not in RULES:
            raise InputError("unknown aggregator", where="aggregator", expected=", ".join(RULES), found=rule)
        self.rule = rule
        self.reset()

    def reset(self) -> None:
        """Begin an episode."""
        self._sum, self._count = 0.0, 0

    def push(self, score: float) -> float:
        """Take the next step's score and return the aggregate."""
        self._sum += score
        self._count += 1
        if self.rule == "none":
            return score
        return self._sum if self.rule == "cumsum" else self._sum / self._count
