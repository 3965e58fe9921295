"""Where and with which weights the integral over flow time is evaluated.

A rule is split in two: the nodes, at which the policy's sampler stops anyway, and the cells (the dt of each node),
so that any weight w(t) can be put on top: W_k = w(t_k) * cell_k.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError
from vla_uq.flow.schedules import OT, Schedule

Floats = NDArray[np.float64]
Rule = Literal["left", "log"]
RULES: tuple[Rule, ...] = get_args(Rule)
Weight = Literal["kl", "uniform"]
WEIGHTS: tuple[Weight, ...] = get_args(Weight)
Prediction = Literal["velocity", "clean"]
PREDICTIONS: tuple[Prediction, ...] = get_args(Prediction)


def grid(steps: int = 10) -> Floats:
    """The nodes of a plain Euler sampler, (steps,): 0, 1/steps, ..., 1 - 1/steps."""
    if steps < 1:
        raise InputError("too few steps", where="steps", expected="at least 1", found=steps)
    return np.arange(steps) / steps


def reference(steps: int = 10, last: float = 0.95) -> Floats:
    """The nodes of uq_vla, (steps + 1,): the plain grid merged with ``last``, up to which the integral is meant."""
    return np.union1d(grid(steps), [_inside(last)])


def log(count: int = 64, last: float = 0.95) -> Floats:
    """Nodes uniform in u = -ln(1 - t) from 0 to ``last``, (count,); for the rule ``log``."""
    if count < 2:
        raise InputError("too few nodes", where="count", expected="at least 2", found=count)
    return -np.expm1(np.linspace(0.0, np.log1p(-_inside(last)), count))


def cells(times: NDArray[np.floating[Any]], rule: str = "left") -> Floats:
    """The dt of each node, (K,).

    ``left``: left Riemann sum, the last cell reaching to 1. ``log``: trapezoids in u = -ln(1 - t), with
    dt = (1 - t) du; nothing is counted beyond the last node.

    :param times: (K,) ascending in [0, 1).
    :raises InputError: when the times are not, or the rule is unknown.
    """
    t = np.asarray(times, np.float64)
    if t.ndim != 1 or len(t) < 1 or not (np.all(np.diff(t) > 0) and t[0] >= 0 and t[-1] < 1):
        raise InputError("flow times must ascend in [0, 1)", where="flow_times", found=np.array2string(t, threshold=16))
    if rule == "left":
        widths: Floats = np.append(np.diff(t), 1.0 - t[-1])
        return widths
    if rule != "log":
        raise InputError("unknown quadrature", where="quadrature", expected=", ".join(RULES), found=rule)
    du = np.diff(-np.log1p(-t))
    trapezoids: Floats = (1 - t) * (np.append(du, 0.0) + np.insert(du, 0, 0.0)) / 2
    return trapezoids


def weights(
    times: NDArray[np.floating[Any]],
    rule: str = "left",
    weight: str = "kl",
    schedule: Schedule | None = None,
    prediction: str = "velocity",
) -> Floats:
    """W_k of the sum over nodes, (K,).

    The integrand of a KL divergence vanishes at noise, so under ``kl`` the others weigh the same whether or not the
    node t = 0 is among ``times``.

    :param weight: ``kl``: w(t) of the schedule, the integral is a KL divergence; ``uniform``: 1, it bounds W2.
    :param schedule: of the policy; the plain linear path by default.
    :param prediction: what the fields that are weighted are: ``velocity``, or ``clean`` for policies that predict the
        action E[a | x] itself. A gap between those is weighted as the velocity gap that it makes, under the linear
        path t / (1 - t)^3, and not turned into a difference of two large velocities first.
    :raises InputError: as :func:`cells`, or when weight or prediction is unknown.
    """
    for name, known, found in (("weight", WEIGHTS, weight), ("prediction", PREDICTIONS, prediction)):
        if found not in known:
            raise InputError(f"unknown {name}", where=name, expected=", ".join(known), found=found)
    dt, t, path = cells(times, rule), np.asarray(times, np.float64), schedule or OT()
    if weight == "kl" and t[0] > 0:
        dt = cells(np.insert(t, 0, 0.0), rule)[1:]
    products: Floats = dt if weight == "uniform" else path.weight(t) * dt
    return products if prediction == "velocity" else products * path.clean_gain(t) ** 2


def _inside(last: float) -> float:
    if not 0 < last < 1:
        raise InputError("the last node must lie inside (0, 1)", where="last", found=last)
    return last
