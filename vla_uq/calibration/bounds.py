"""What a calibration with n episodes can promise about the rate that will be realised.

A conformal threshold keeps the false-alarm rate at alpha on average over calibrations. The rate of one calibration
scatters: with k = ceil((n + 1)(1 - alpha)) the threshold's rank, it is distributed as Beta(n + 1 - k, k) (Vovk 2012).
"""

from __future__ import annotations

import math

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
            expected=f"n >= {math.ceil(1 / alpha - 1e-9) - 1} for alpha {alpha:g}",
            found=f"n = {n}, which allows alpha >= {1 / (n + 1):.4g}",
            remedy="record more nominal successes or raise alpha",
        )
    return rank


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
