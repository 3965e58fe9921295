"""Nodes and weights of the integral over flow time."""

from __future__ import annotations

import numpy as np
import pytest

from vla_uq.errors import InputError
from vla_uq.flow import quadrature
from vla_uq.flow.schedules import OT, VP


def test_reference_weights() -> None:
    nodes = quadrature.reference()
    assert nodes == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
    weights = quadrature.weights(nodes)
    expected = [0, 0.0111, 0.025, 0.0429, 0.0667, 0.1, 0.15, 0.2333, 0.4, 0.45, 0.95]
    assert weights == pytest.approx(expected, abs=5e-5)
    assert weights.sum() == pytest.approx(2.429, abs=5e-4)


def test_grid_weights() -> None:
    weights = quadrature.weights(quadrature.grid(10))
    assert weights[0] == 0
    assert weights[-1] == pytest.approx(0.9)
    assert quadrature.weights(np.array([0.2, 0.4, 0.6, 0.8, 0.9])) == pytest.approx(
        [0.05, 0.1333, 0.3, 0.4, 0.9], abs=5e-5
    )


def test_leaving_out_the_weightless_node_changes_nothing() -> None:
    for rule, nodes in (("left", quadrature.grid(10)), ("log", quadrature.log(11))):
        assert quadrature.weights(nodes[1:], rule) == pytest.approx(quadrature.weights(nodes, rule)[1:])
        uniform = quadrature.weights(nodes, rule, "uniform")
        assert quadrature.weights(nodes[1:], rule, "uniform").sum() < uniform.sum()


def test_log_rule_integrates() -> None:
    nodes = quadrature.log(200, last=0.9)
    assert nodes[0] == 0
    assert nodes[-1] == pytest.approx(0.9)
    assert quadrature.weights(nodes, "log", "uniform").sum() == pytest.approx(0.9, rel=1e-3)
    # The integral of t / (1 - t) from 0 to T is -ln(1 - T) - T.
    assert quadrature.weights(nodes, "log").sum() == pytest.approx(-np.log(0.1) - 0.9, rel=1e-3)


def test_weights_of_schedules_and_of_clean_predictions() -> None:
    nodes, dt = quadrature.grid(10)[1:], 0.1
    expected = {
        OT(): nodes / (1 - nodes),
        OT(sigma_min=0.2): nodes / (1 - 0.8 * nodes),
        VP(beta_min=0.1, beta_max=20.0): 2 / (0.1 + 19.9 * (1 - nodes)),
    }
    for schedule, weight in expected.items():
        assert quadrature.weights(nodes, schedule=schedule) == pytest.approx(weight * dt)
        assert quadrature.weights(nodes, "left", "uniform", schedule) == pytest.approx(dt)
    clean = quadrature.weights(nodes, prediction="clean")
    assert clean == pytest.approx(nodes / (1 - nodes) ** 3 * dt)
    assert quadrature.weights(nodes, "left", "uniform", prediction="clean") == pytest.approx(dt / (1 - nodes) ** 2)


def test_uniform_weights_of_a_full_grid_sum_to_one() -> None:
    assert quadrature.weights(quadrature.reference(), weight="uniform").sum() == pytest.approx(1)


@pytest.mark.parametrize("times", [[0.0, 0.0], [0.5, 0.4], [0.0, 1.0], [-0.1, 0.5], [[0.0, 0.5]], [0.0, np.nan]])
def test_refuses_times_that_do_not_ascend_in_the_unit_interval(times: list[float]) -> None:
    with pytest.raises(InputError, match="flow_times"):
        quadrature.cells(np.array(times))


def test_refuses_unknown_names() -> None:
    with pytest.raises(InputError, match=r"quadrature: .*expected left, log; found simpson"):
        quadrature.cells(np.array([0.0]), "simpson")
    with pytest.raises(InputError, match="weight: unknown weight; expected kl, uniform"):
        quadrature.weights(np.array([0.0]), weight="max")
    with pytest.raises(InputError, match="prediction: unknown prediction; expected velocity, clean; found noise"):
        quadrature.weights(np.array([0.0]), prediction="noise")
    with pytest.raises(InputError, match="last"):
        quadrature.reference(last=1.0)
