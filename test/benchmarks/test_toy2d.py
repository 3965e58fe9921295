"""The 2-D toy: its truth is a distribution, its divergences are computed right, its scores see what they should."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks.estimators.posterior import Posteriors  # noqa: E402
from benchmarks.estimators.scores import SCORES, Question  # noqa: E402
from benchmarks.toy2d import ensembles, problem  # noqa: E402
from benchmarks.toy2d.ensembles import ENSEMBLES  # noqa: E402
from benchmarks.toy2d.nets import Stack, reinitialised, train  # noqa: E402
from benchmarks.toy2d.truth import truth_of  # noqa: E402

CONDITIONS = np.array([[0.3, -0.8], [1.4, 1.0]])


@pytest.mark.parametrize("time", [1.0, 0.95])
def test_truth_is_a_density(time: float) -> None:
    line = np.linspace(-4, 4, 401)
    points = np.stack(np.meshgrid(line, line), -1).reshape(1, -1, 2).repeat(2, axis=0)
    mass = np.exp(problem.log_density(points, CONDITIONS, time)).sum(1) * (line[1] - line[0]) ** 2
    np.testing.assert_allclose(mass, 1.0, atol=1e-3)


def test_samples_of_the_truth_have_its_mean() -> None:
    drawn = problem.sample_actions(CONDITIONS, 20000, np.random.default_rng(0))
    means, _ = problem.modes(CONDITIONS)
    np.testing.assert_allclose(drawn.mean(1), np.einsum("m,cmd->cd", problem.WEIGHTS, means), atol=0.02)


def test_a_third_of_the_grid_lies_inside_the_training_data() -> None:
    inside = problem.support_distance(problem.grid(), problem.training_pairs(0)[0]) < problem.INSIDE
    assert 0.25 < inside.mean() < 0.36


def test_divergence_of_a_flow_that_does_nothing() -> None:
    """A field of zeros leaves the noise as it is: KL(N(0, I) ‖ p*) by plain Monte Carlo."""
    still = Stack([0])
    with torch.no_grad():
        for parameter in still.parameters():
            parameter.zero_()
    found = truth_of(still, CONDITIONS, 0, draws=400, steps=4)
    a = np.random.default_rng(1).normal(size=(2, 20000, 2))
    log_noise = -(a**2).sum(-1) / 2 - math.log(2 * math.pi)
    for time, values in ((1.0, found.kl), (0.95, found.kl95)):
        gap = log_noise - problem.log_density(a, CONDITIONS, time)
        np.testing.assert_allclose(values, gap.mean(1), atol=5 * (gap.std(1) / math.sqrt(400)).max())


def test_members_with_equal_weights_do_not_disagree() -> None:
    data = problem.training_pairs(0, 300)
    stack = Stack([1, 2])
    train(stack, data, steps=20, seed=0)
    question = Question(stack.select([0, 0]), CONDITIONS, 0, Posteriors(stack.member(0), data, 0))
    apart = Question(stack, CONDITIONS, 0, question.posteriors)
    for name in ("vfd_two_way", "vfd_one_way", "decu", "action_l2_shared_noise"):
        np.testing.assert_allclose(SCORES[name](question), 0.0, atol=1e-9)
        assert (SCORES[name](apart) > 0).all()
    for name, score in SCORES.items():
        assert score(apart).shape == (2,) and np.isfinite(score(apart)).all(), name


def test_training_makes_the_flow_better_and_frozen_layers_stay() -> None:
    data = problem.training_pairs(0, 500)
    stack = Stack([3])
    before = truth_of(stack, CONDITIONS, 0).kl.mean()
    train(stack, data, steps=200, seed=0)
    assert truth_of(stack, CONDITIONS, 0).kl.mean() < before
    trunk = stack.weights[0].detach().clone()
    masks = reinitialised(stack, 1, seed=9)
    last = stack.weights[-1].detach().clone()
    train(stack, data, steps=5, seed=1, keep=masks)
    assert torch.equal(stack.weights[0], trunk) and not torch.equal(stack.weights[-1], last)


@pytest.mark.parametrize("name", list(ENSEMBLES))
def test_members_of_every_cheap_ensemble_differ(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Low-rank adapters once had no gradient, and both members stayed the base."""
    monkeypatch.setattr(ensembles, "TUNING", 3)
    data = problem.training_pairs(0, 300)
    base = Stack([0])
    pair = ENSEMBLES[name](base, data, 1)
    question = Question(pair, CONDITIONS, 0, Posteriors(base, data, 0))
    assert (SCORES["vfd_one_way"](question) > 0).all()
