"""What a calibration with n episodes can promise about the rate that will be realised.

A conformal threshold keeps the false-alarm rate at alpha on average over calibrations. The rate of one calibration
scatters: with k = ceil((n + 1)(1 - alpha)) the threshold's rank, it is distributed as Beta(n + 1 - k, k) (Vovk 2012).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from vla_uq.errors import InputError


def order_rank(n: int, alpha: float) -> int:
    """Rank (from 1) of the order statistic of n scores that a new one exceeds with probability at most alpha.

    :raises InputError: when alpha is outside (0, 1), or n is too small for it, with the smallest alpha n allows.
    """
    if not 0 < alpha < 1:
        raise InputError("must lie inside (0, 1)", where="alpha", found=alpha)
    rank = ceil_rank(n, alpha)
    if n < 1 or rank > n:
        raise InputError(
            "too few calibration episodes",
            where="alpha",
            expected=f"n >= {needed_for_alpha(alpha)} for alpha {alpha:g}",
            found=f"n = {n}, which allows alpha >= {smallest_alpha(n):.4g}",
            remedy="record more nominal successes or raise alpha",
        )
    return rank


def smallest_alpha(n: int) -> float:
    """The smallest alpha that n calibration episodes allow."""
    return 1 / (n + 1)


def needed_for_alpha(alpha: float) -> int:
    """Calibration episodes that alpha needs at least: the inverse of :func:`smallest_alpha`."""
    return math.ceil(1 / alpha - 1e-9) - 1


def needed_for_bound(alpha: float, bound: float, confidence: float = 0.95) -> int:
    """Fewest calibration episodes n with ``realised_bound(n, alpha, confidence) <= bound``.

    The bound does not fall steadily: it rises where one more exceedance fits under alpha, and falls from there to the
    next such n. So the first such stretch of n that reaches the bound is found, then the first n in it.

    :raises InputError: when alpha is outside (0, 1), or the bound is not above alpha: no n buys that.
    """
    order_rank(needed_for_alpha(alpha) if 0 < alpha < 1 else 1, alpha)
    if not alpha < bound <= 1:
        raise InputError("no number of episodes is enough", where="bound", expected=f"above {alpha:g}", found=bound)

    def last(events: int) -> int:
        """Largest n whose threshold has so many calibration episodes above it."""
        return math.ceil((events + 2) / alpha - 1e-9) - 2

    def first_true(low: int, high: int, holds: Callable[[int], bool]) -> int:
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if holds(middle) else (middle + 1, high)
        return low

    def reached(events: int) -> bool:
        return upper_bound(events, last(events), confidence) <= bound

    most = 1
    while not reached(most):
        most *= 2
    events = first_true(0, most, reached)
    start = last(events - 1) + 1 if events else needed_for_alpha(alpha)
    return first_true(start, last(events), lambda n: upper_bound(events, n, confidence) <= bound)


def ceil_rank(n: int, alpha: float) -> int:
    """ceil((n + 1)(1 - alpha)), not lifted by rounding errors such as 10 (1 - 0.7) = 3.0000000000000004."""
    return math.ceil((n + 1) * (1 - alpha) - 1e-9)


def realised_bound(n: int, alpha: float, confidence: float = 0.95) -> float:
    """Upper bound of the realised false-alarm rate, with the given confidence over the draw of the n episodes.

    The Beta quantile of this module's docstring, equal to the Clopper-Pearson bound for n - k exceedances in n.

    :raises InputError: as :func:`order_rank`.
    """
    return upper_bound(n - order_rank(n, alpha), n, confidence)


def upper_bound(events: int, n: int, confidence: float = 0.95) -> float:
    """One-sided Clopper-Pearson upper bound of a rate with ``events`` in ``n``."""
    if events >= n:
        return 1.0
    low, high = 0.0, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        if _binomial_cdf(events, n, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _binomial_cdf(k: int, n: int, p: float) -> float:
    """P(Binomial(n, p) <= k) for 0 < p < 1."""
    log_n = math.lgamma(n + 1)
    terms = (
        log_n - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * math.log(p) + (n - i) * math.log1p(-p)
        for i in range(k + 1)
    )
    return math.fsum(map(math.exp, terms))
