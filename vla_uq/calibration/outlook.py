"""What more successes would buy: a lower bound on the realised rate, or a smaller alpha."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from vla_uq.calibration.bounds import needed_for_alpha, needed_for_bound, order_rank, realised_bound, smallest_alpha
from vla_uq.errors import InputError

BOUNDS = (2.0, 1.5, 1.25)
"""Realised bounds worth recording for, in alphas."""


def outlook(successes: int, alpha: float, calibrating: Callable[[int], int]) -> list[dict[str, Any]]:
    """For each bound and alpha that is not reached yet, the successes that reach it.

    :param successes: there are now, enough for alpha.
    :param calibrating: how many of so many successes calibrate the threshold; never decreases.
    :returns: JSON values: ``alpha``, ``bound`` (realised, 95 %), ``successes`` in total and how many ``more``.
    """
    now = realised_bound(calibrating(successes), alpha)
    wanted = [(alpha, share * alpha) for share in BOUNDS if share * alpha < min(now, 1.0)]
    rows = []
    for rate, bound in [*wanted, (alpha / 2, 1.0)]:
        least = needed_for_bound(rate, bound)
        # Beyond the least number the bound rises again for a while, so the first total that jumps over it may miss.
        total = next(
            n for n in count(successes + 1) if calibrating(n) >= least and realised_bound(calibrating(n), rate) <= bound
        )
        if rate == alpha or calibrating(successes) < least:
            reached = realised_bound(calibrating(total), rate)
            rows.append({"alpha": rate, "bound": reached, "successes": total, "more": total - successes})
    return rows


def check_enough(successes: int, alpha: float, calibrating: Callable[[int], int]) -> None:
    """Refuse too few successes in terms of successes, not of the share of them that calibrates.

    :raises InputError: saying how many more are needed.
    """
    least = needed_for_alpha(alpha) if 0 < alpha < 1 else 1
    n = calibrating(successes)
    if n >= least:
        order_rank(n, alpha)
        return
    total = next(total for total in count(successes + 1) if calibrating(total) >= least)
    raise InputError(
        "too few nominal successes",
        where="alpha",
        expected=f"{total} for alpha {alpha:g}",
        found=f"{successes}, of which n = {n} calibrate, which allows alpha >= {smallest_alpha(n):.4g}",
        remedy=f"record {total - successes} more, raise alpha, or use the method cross, which spends none on fitting",
    )
