"""SAFE's losses: the published values, and that a sum over single steps is the same as one over whole episodes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_uq.detectors import SafeTraining

torch = pytest.importorskip("torch")
from vla_uq.detectors import safe_training_loss as losses  # noqa: E402

LENGTHS = np.array([3, 2, 2])
FAILED = np.array([False, True, True])
FEATURES = torch.tensor([0.0, 1.0, -1.0, 1.0, 2.0, 0.0, 0.0])
"""Of a network whose logit is the feature."""


def labels(time_weighting: bool = False) -> losses.Labels:
    return losses.Labels.of(LENGTHS, FAILED, time_weighting)


def only(episodes: list[int]) -> tuple[torch.Tensor, losses.Labels]:
    """Some of the golden episodes without class weights."""
    rows = torch.cat([torch.arange(7).split(LENGTHS.tolist())[k] for k in episodes])
    picked = labels().pick(torch.tensor(episodes), rows)
    weights = 1 / torch.repeat_interleave(picked.lengths, picked.lengths)
    return FEATURES[rows], losses.Labels(picked.lengths, picked.failed, weights)


def test_golden_class_weights() -> None:
    assert losses.class_weights(FAILED) == pytest.approx((1.0, 1.5))


def test_golden_scores() -> None:
    scores = losses.accumulated(torch.sigmoid(FEATURES), torch.from_numpy(LENGTHS))
    assert scores.tolist() == pytest.approx([0.5, 1.2311, 1.5, 0.7311, 1.6119, 0.5, 1.0], abs=1e-4)


@pytest.mark.parametrize("through_time", [True, False])
def test_golden_batch_loss(through_time: bool) -> None:
    loss = losses.episodes_loss(FEATURES, labels(), SafeTraining(), through_time)
    assert float(loss) == pytest.approx(-0.101976, abs=1e-6)


def test_golden_loss_of_each_outcome() -> None:
    assert float(losses.episodes_loss(*only([0]), SafeTraining(), True)) == pytest.approx(1.0770, abs=1e-4)
    assert float(losses.episodes_loss(*only([1, 2]), SafeTraining(), True)) == pytest.approx(-0.96073, abs=1e-5)


def test_golden_cross_entropy() -> None:
    logits = torch.logit(torch.tensor([0.2, 0.3, 0.4, 0.6, 0.9, 0.5, 0.5]))
    loss = losses.episodes_loss(logits, labels(), SafeTraining(loss="bce"), False)
    assert float(loss) == pytest.approx(0.515521, abs=1e-6)


def test_golden_time_weights() -> None:
    assert losses.time_weights(3).tolist() == pytest.approx([1.7117, 0.8100, 0.4783], abs=1e-4)
    assert losses.time_weights(4).tolist() == pytest.approx([1.8455, 1.0341, 0.6507, 0.4697], abs=1e-4)


def test_time_weights_are_for_failures() -> None:
    plain, weighted = labels().weights, labels(True).weights
    assert torch.equal(plain[:3], weighted[:3])
    assert weighted[3] > plain[3]
    assert float(weighted.sum()) == pytest.approx(float(plain.sum()))


def test_hinge_leaves_failures_beyond_the_threshold_alone() -> None:
    near, far = SafeTraining(loss="hinge", threshold=1.2), SafeTraining(loss="hinge")
    # Scores (.7311, 1.6119) and (.5, 1): the second step of the first is beyond 1.2.
    expected = ((1.2 - 0.7311) / 2 + (0.7 + 0.2) / 2) / 2
    assert float(losses.episodes_loss(*only([1, 2]), near, True)) == pytest.approx(expected, abs=1e-4)
    assert float(losses.episodes_loss(*only([1, 2]), far, True)) == pytest.approx(50 - 0.96073, abs=1e-4)
    assert gradient(far, True) == pytest.approx(gradient(SafeTraining(), True), abs=1e-6)


def gradient(recipe: SafeTraining, through_time: bool) -> list[float]:
    """Of the golden batch with respect to its probabilities."""
    logits = FEATURES.clone().requires_grad_()
    losses.episodes_loss(logits, labels(), recipe, through_time).backward()
    slope = torch.sigmoid(FEATURES) * (1 - torch.sigmoid(FEATURES))
    return (logits.grad / slope).tolist()


def test_gradient_through_the_sum_is_a_weight_that_falls_with_time() -> None:
    expected = [1.5 * w / 3 for w in (3 / 3, 2 / 3, 1 / 3)] + 2 * [-1.0 * w / 3 for w in (2 / 2, 1 / 2)]
    assert gradient(SafeTraining(), True) == pytest.approx(expected, abs=1e-6)


def test_stopped_gradient_gives_each_step_its_own_weight() -> None:
    expected = 3 * [1.5 / 3 / 3] + 4 * [-1.0 / 2 / 3]
    assert gradient(SafeTraining(), False) == pytest.approx(expected, abs=1e-6)


def test_golden_hard_negatives() -> None:
    # By hand: smooth maxima (1/50) ln sum exp(50 p) of (.5, .7311, .2689), (.7311, .8808), (.5, .5).
    peaks = [0.7310586, 0.8808082, 0.5 + np.log(2) / 50]
    terms = [max(peaks[0] - 0.4, 0) ** 2, max(0.6 - peaks[1], 0) ** 2, max(0.6 - peaks[2], 0) ** 2]
    plain, with_term = SafeTraining(loss="bce"), SafeTraining(loss="bce", hard_negatives=2.0)
    loss = [float(losses.episodes_loss(FEATURES, labels(), recipe, True)) for recipe in (plain, with_term)]
    assert loss[1] - loss[0] == pytest.approx(2 * np.mean(terms), abs=1e-5)


@given(
    st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=2, max_size=8),
    st.sampled_from(["linear", "bce"]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_single_steps_add_up_to_whole_episodes(
    episodes: list[tuple[int, bool]], loss: str, time_weighting: bool, seed: int
) -> None:
    """The gradient through the cumulative sum is a weight of each step: no sequence is needed to train."""
    lengths, failed = np.array([n for n, _ in episodes]), np.array([f for _, f in episodes])
    recipe = SafeTraining(loss=loss, time_weighting=time_weighting)
    all_labels = losses.Labels.of(lengths, failed, time_weighting)
    assert losses.is_sum_over_steps(recipe)
    logits = torch.randn(int(lengths.sum()), generator=torch.Generator().manual_seed(seed)).requires_grad_()
    whole = losses.episodes_loss(logits, all_labels, recipe, True)
    (expected,) = torch.autograd.grad(whole, logits)
    factors = losses.step_factors(all_labels, recipe)
    outcome = torch.repeat_interleave(all_labels.failed, all_labels.lengths)
    order = torch.randperm(len(logits))
    parts = [losses.steps_loss(logits[k], factors[k], outcome[k], recipe) for k in order.split(5)]
    single = torch.stack(parts).sum() / len(lengths)
    torch.testing.assert_close(single, whole, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.autograd.grad(single, logits)[0], expected, rtol=1e-4, atol=1e-6)


def test_losses_that_need_sums_take_whole_episodes() -> None:
    assert not losses.is_sum_over_steps(SafeTraining(loss="hinge"))
    assert not losses.is_sum_over_steps(SafeTraining(hard_negatives=1.0))
