"""What n calibration episodes can promise."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_uq.calibration.bounds import (
    ceil_rank,
    needed_for_alpha,
    needed_for_bound,
    order_rank,
    realised_bound,
    smallest_alpha,
    upper_bound,
)
from vla_uq.errors import InputError


@pytest.mark.parametrize(("n", "bound"), [(20, 0.216), (50, 0.174), (100, 0.152)])
def test_golden_bounds_at_a_tenth(n: int, bound: float) -> None:
    assert realised_bound(n, 0.1) == pytest.approx(bound, abs=1e-3)


@given(st.integers(2, 300), st.floats(0.02, 0.6))
@settings(max_examples=50, deadline=None)
def test_equals_the_beta_quantile(n: int, alpha: float) -> None:
    beta = pytest.importorskip("scipy.stats").beta
    if ceil_rank(n, alpha) > n:
        return
    k = order_rank(n, alpha)
    assert realised_bound(n, alpha) == pytest.approx(beta.ppf(0.95, n + 1 - k, k), abs=1e-8)


def test_upper_bound_of_a_rate() -> None:
    assert upper_bound(0, 20) == pytest.approx(1 - 0.05 ** (1 / 20))
    assert upper_bound(5, 5) == 1.0
    assert upper_bound(400, 8000) == pytest.approx(0.0542, abs=1e-4)


def test_rank_is_not_lifted_by_rounding() -> None:
    assert 10 * (1 - 0.7) > 3
    assert ceil_rank(9, 0.7) == 3
    assert order_rank(9, 0.1) == 9


@pytest.mark.parametrize(("n", "alpha"), [(8, 0.1), (0, 0.5), (18, 0.05)])
def test_refuses_too_few(n: int, alpha: float) -> None:
    with pytest.raises(InputError, match=f"found n = {n}, which allows alpha >= "):
        realised_bound(n, alpha)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_refuses_alpha_outside(alpha: float) -> None:
    with pytest.raises(InputError, match="alpha"):
        order_rank(100, alpha)


def test_what_n_episodes_allow() -> None:
    assert [round(smallest_alpha(n), 3) for n in (5, 9, 19, 49)] == [0.167, 0.1, 0.05, 0.02]
    assert [needed_for_alpha(a) for a in (0.5, 0.2, 0.1, 0.05, 0.02, 1 / 6)] == [1, 4, 9, 19, 49, 5]


@given(st.floats(0.01, 0.9))
def test_needed_for_alpha_is_the_first_that_is_not_refused(alpha: float) -> None:
    n = needed_for_alpha(alpha)
    assert order_rank(n, alpha) == n
    if n > 1:
        with pytest.raises(InputError):
            order_rank(n - 1, alpha)


@pytest.mark.parametrize(
    ("alpha", "bound", "n"), [(0.1, 0.2, 14), (0.1, 0.15, 68), (0.1, 0.125, 348), (0.05, 0.1, 29), (0.2, 0.25, 153)]
)
def test_needed_for_a_bound(alpha: float, bound: float, n: int) -> None:
    assert needed_for_bound(alpha, bound) == n
    assert realised_bound(n, alpha) <= bound
    assert all(realised_bound(m, alpha) > bound for m in range(needed_for_alpha(alpha), n))


def test_no_number_of_episodes_buys_a_bound_of_alpha() -> None:
    with pytest.raises(InputError, match=r"bound: no number of episodes is enough; expected above 0.1; found 0.1"):
        needed_for_bound(0.1, 0.1)
    with pytest.raises(InputError, match="alpha"):
        needed_for_bound(1.5, 0.2)
