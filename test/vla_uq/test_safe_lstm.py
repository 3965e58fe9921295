"""SAFE-LSTM: scoring without torch, one step at a time, and training that stops by itself."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from vla_uq.detectors import SafeLstm, SafeLstmTraining
from vla_uq.detectors.safe_lstm import RecurrentNetwork
from vla_uq.errors import InputError
from vla_uq.evaluation.metrics import roc_auc
from vla_uq.rollouts.store import Rollout

torch = pytest.importorskip("torch")
from vla_uq.detectors.safe_lstm_training import LstmNet  # noqa: E402

Make = Callable[..., Rollout]
SMALL = SafeLstmTraining(hidden=16, iterations=60, batch=8, learning_rate=1e-2, regulariser=1e-3)


def network(inputs: int = 6, hidden: int = 5, seed: int = 0) -> RecurrentNetwork:
    rng = np.random.default_rng(seed)
    shapes = [(4 * hidden, inputs), (4 * hidden, hidden), (4 * hidden,), (hidden,), (1,)]
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    mean, scale = rng.normal(size=inputs), rng.uniform(0.5, 2, inputs)
    return RecurrentNetwork(mean.astype(np.float32), scale.astype(np.float32), *arrays)


def test_numpy_scoring_equals_torch() -> None:
    """And with it the order of the gates."""
    ours, theirs = network(), LstmNet(6, 5)
    with torch.no_grad():
        theirs.recurrent.weight_ih_l0.copy_(torch.from_numpy(ours.input_weight))
        theirs.recurrent.weight_hh_l0.copy_(torch.from_numpy(ours.hidden_weight))
        theirs.recurrent.bias_ih_l0.copy_(torch.from_numpy(ours.bias))
        theirs.recurrent.bias_hh_l0.zero_()
        theirs.out.weight.copy_(torch.from_numpy(ours.out_weight[None]))
        theirs.out.bias.copy_(torch.from_numpy(ours.out_bias))
        features = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
        inputs = torch.from_numpy((features - ours.mean) / ours.scale)
        expected = torch.sigmoid(theirs(inputs, torch.tensor([40]))).numpy()
    np.testing.assert_allclose(ours.probabilities(features), expected, atol=1e-6)


def test_packed_episodes_are_scored_each_by_itself() -> None:
    net, lengths = LstmNet(3, 4), [2, 5, 1, 5]
    inputs = torch.randn(sum(lengths), 3)
    with torch.no_grad():
        together = net(inputs, torch.tensor(lengths)).split(lengths)
        for part, logits in zip(inputs.split(lengths), together, strict=True):
            torch.testing.assert_close(net(part, torch.tensor([len(part)])), logits)


def test_streaming_equals_scoring_at_full_size(make_rollout: Make) -> None:
    features = np.random.default_rng(0).normal(size=(60, 1024)).astype(np.float32)
    big = network(1024, 256)
    calm = dataclasses.replace(big, input_weight=big.input_weight / 32, hidden_weight=big.hidden_weight / 16)
    for net in (big, calm):
        detector = SafeLstm("cumsum", network=net)
        detector.reset()
        streamed = [detector.update({"features": step}) for step in features]
        scored = detector.score(Rollout(make_rollout(0).meta, {"features": features}))
        np.testing.assert_allclose(scored, streamed, rtol=1e-6, atol=1e-6)


def test_remembers_the_episode_and_forgets_it_at_reset() -> None:
    detector = SafeLstm(network=network())
    step = {"features": np.ones(6, np.float32)}
    first = [detector.update(step) for _ in range(3)]
    assert len(set(first)) == 3
    detector.reset()
    assert [detector.update(step) for _ in range(3)] == first


def test_an_episode_with_a_gap_has_no_score_after_it(make_rollout: Make) -> None:
    """The memory is wrong once a step is missing; it is not used again before the next episode."""
    detector, rollout = SafeLstm(network=network()), make_rollout(0)
    complete = detector.score(rollout)
    rollout.tensors["features"][2, 1] = np.inf
    scored = detector.score(rollout)
    np.testing.assert_allclose(scored[:2], complete[:2], atol=1e-6)
    assert np.isnan(scored[2:]).all()
    detector.reset()
    streamed = [detector.update({"features": step}) for step in rollout.tensor("features")]
    np.testing.assert_array_equal(np.isnan(streamed), np.isnan(scored))
    detector.reset()
    assert not math.isnan(detector.update({"features": np.ones(6, np.float32)}))


def test_learns_stops_and_repeats(make_rollout: Make) -> None:
    rollouts = [make_rollout(i, success=i % 3 != 0) for i in range(90)]
    first, second = SafeLstm(training=SMALL), SafeLstm(training=SMALL)
    calls: list[tuple[int, int]] = []
    first.fit(rollouts, lambda done, total, what: calls.append((done, total)))
    second.fit(rollouts)
    assert calls[-1] == (60, 60)
    assert first.history == second.history
    for name, value in first.state()[0].items():
        np.testing.assert_array_equal(value, second.state()[0][name])
    fresh = [make_rollout(i, success=i % 2 == 0) for i in range(1000, 1060)]
    final = [first.score(rollout)[-1] for rollout in fresh]
    assert roc_auc(final, [not rollout.meta.success for rollout in fresh]) > 0.95


@pytest.mark.parametrize(
    "changes", [{"loss": "linear"}, {"loss": "hinge"}, {"time_weighting": True}, {"hard_negatives": 1.0}]
)
def test_other_settings_train_too(make_rollout: Make, changes: dict[str, object]) -> None:
    detector = SafeLstm("cumsum", dataclasses.replace(SMALL, iterations=3, **changes))
    detector.fit([make_rollout(i, success=i % 2 == 0) for i in range(20)])
    assert np.isfinite(detector.score(make_rollout(50))).all()


def test_looks_at_the_tensor_it_is_told(make_rollout: Make) -> None:
    rollouts = [make_rollout(i, success=i % 2 == 0) for i in range(20)]
    renamed = [Rollout(r.meta, {"features/token_mean": r.tensor("features")}) for r in rollouts]
    plain, other = SafeLstm(training=SMALL), SafeLstm(training=SMALL, feature="features/token_mean")
    plain.fit(rollouts)
    other.fit(renamed)
    assert other.needs == ("features/token_mean",)
    np.testing.assert_array_equal(other.score(renamed[0]), plain.score(rollouts[0]))
    tensors, config = other.state()
    twin = SafeLstm.from_state(tensors, config)
    np.testing.assert_array_equal(twin.score(renamed[0]), other.score(renamed[0]))
    with pytest.raises(InputError, match="features/token_mean"):
        other.score(rollouts[0])


def test_state_of_the_wrong_shape_is_refused() -> None:
    tensors, config = SafeLstm(network=network()).state()
    for name in tensors:
        with pytest.raises(InputError, match=f"^b: {name}: "):
            SafeLstm.from_state({**tensors, name: tensors[name][..., None]}, config, "b")
    with pytest.raises(InputError, match=r"^b: scale: "):
        SafeLstm.from_state({**tensors, "scale": 0 * tensors["scale"]}, config, "b")
