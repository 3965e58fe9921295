"""SAFE-MLP: the published loss, repeatable training, and scoring that needs no torch."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vla_uq.detectors import SafeMlp, SafeTraining
from vla_uq.detectors.safe_mlp import Network
from vla_uq.errors import InputError
from vla_uq.evaluation.metrics import roc_auc
from vla_uq.rollouts.store import Rollout

torch = pytest.importorskip("torch")
from vla_uq.detectors import safe_training  # noqa: E402

Make = Callable[..., Rollout]
SMALL = SafeTraining(hidden=16, iterations=200, batch=16, learning_rate=3e-3, regulariser=1e-2)


def test_golden_loss() -> None:
    features = [[0.0, 1.0, -1.0], [1.0, 2.0], [0.0, 0.0]]
    failed = torch.tensor([False, True, True])
    padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(f) for f in features], batch_first=True)
    mask = torch.tensor([[True, True, True], [True, True, False], [True, True, False]])
    probabilities = torch.sigmoid(padded)
    scores = torch.cumsum(probabilities, 1)
    assert scores[0, :2].tolist() == pytest.approx([0.5, 1.2311], abs=1e-4)
    assert scores[1, :2].tolist() == pytest.approx([0.7311, 1.6119], abs=1e-4)
    weights = safe_training.class_weights(failed)
    assert weights == pytest.approx((1.0, 1.5))
    loss = safe_training.safe_loss(probabilities, mask, failed, weights)
    assert float(loss) == pytest.approx(-0.101976, abs=2e-6)
    success = safe_training.safe_loss(probabilities[:1], mask[:1], failed[:1], (1.0, 1.0))
    assert float(success) == pytest.approx(1.0770, abs=1e-4)
    failure = safe_training.safe_loss(probabilities[1:], mask[1:], failed[1:], (1.0, 1.0))
    assert float(failure) == pytest.approx(-0.96073, abs=1e-5)


def test_golden_time_weights() -> None:
    assert safe_training.time_weights(3).tolist() == pytest.approx([1.7117, 0.8100, 0.4783], abs=1e-4)
    assert safe_training.time_weights(4).tolist() == pytest.approx([1.8455, 1.0341, 0.6507, 0.4697], abs=1e-4)


def test_learns_repeats_and_reports(make_rollout: Make) -> None:
    rollouts = [make_rollout(i, success=i % 3 != 0) for i in range(60)]
    calls: list[tuple[int, int]] = []
    first, second = SafeMlp(training=SMALL), SafeMlp(training=SMALL)
    random_state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first.fit(rollouts, lambda done, total, what: calls.append((done, total)))
    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert torch.get_num_threads() == threads
    second.fit(rollouts)
    assert calls[0] == (20, 200)
    assert calls[-1] == (200, 200)
    for name, value in first.state()[0].items():
        np.testing.assert_array_equal(value, second.state()[0][name])
    fresh = [make_rollout(i, success=i % 2 == 0) for i in range(1000, 1060)]
    final = [first.score(rollout)[-1] for rollout in fresh]
    assert roc_auc(final, [not rollout.meta.success for rollout in fresh]) > 0.95
    other = SafeMlp(training=dataclasses.replace(SMALL, seed=1))
    other.fit(rollouts)
    assert not np.array_equal(other.state()[0]["layer0/weight"], first.state()[0]["layer0/weight"])


@pytest.mark.parametrize("changes", [{"hidden": 0}, {"time_weighting": True}, {"iterations": 7}])
def test_other_settings_train_too(make_rollout: Make, changes: dict[str, Any]) -> None:
    detector = SafeMlp(training=dataclasses.replace(SMALL, **changes))
    detector.fit([make_rollout(i, success=i % 2 == 0) for i in range(20)])
    assert np.isfinite(detector.score(make_rollout(50))).all()


def test_numpy_scoring_equals_torch() -> None:
    rng = np.random.default_rng(0)
    layers = ((rng.normal(size=(16, 6)), rng.normal(size=16)), (rng.normal(size=(1, 16)), rng.normal(size=1)))
    mean, scale = rng.normal(size=6), rng.uniform(0.5, 2, 6)
    network = Network(
        mean.astype(np.float32),
        scale.astype(np.float32),
        tuple((w.astype(np.float32), b.astype(np.float32)) for w, b in layers),
    )
    for x in rng.normal(size=(20, 6)):
        h = torch.tensor((x - mean) / scale)
        h = torch.relu(torch.tensor(layers[0][0]) @ h + torch.tensor(layers[0][1]))
        expected = torch.sigmoid(torch.tensor(layers[1][0]) @ h + torch.tensor(layers[1][1]))
        assert network.probability(x) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_extreme_features_do_not_overflow(logit: float) -> None:
    one = np.ones(1, np.float32)
    network = Network(0 * one, one, ((one[None], 0 * one),))
    assert network.probability(np.array([logit])) == (0.0 if logit < 0 else 1.0)


def test_a_feature_that_never_varied_is_not_blown_up(make_rollout: Make) -> None:
    rollouts = [make_rollout(i, success=i % 2 == 0) for i in range(10)]
    for rollout in rollouts:
        rollout.tensors["features"][:, 3] = 0.25
    detector = SafeMlp(training=SMALL)
    detector.fit(rollouts)
    assert detector.state()[0]["scale"][3] == 1.0


def test_refuses_one_outcome_no_outcome_and_bad_features(make_rollout: Make) -> None:
    successes = [make_rollout(i) for i in range(4)]
    with pytest.raises(InputError, match="expected successes and failures; found 4 successes, 0 failures"):
        SafeMlp(training=SMALL).fit(successes)
    with pytest.raises(InputError, match="episode-0009: episode has no outcome"):
        SafeMlp(training=SMALL).fit([*successes, make_rollout(9, success=None)])
    failure = make_rollout(10, success=False)
    failure.tensors["features"][0, 0] = np.nan
    with pytest.raises(InputError, match="features: are not finite"):
        SafeMlp(training=SMALL).fit([*successes, failure])
    wide = Rollout(failure.meta, {"features": np.zeros((3, 9), np.float32)})
    with pytest.raises(InputError, match="features: differ in size"):
        SafeMlp(training=SMALL).fit([*successes, wide])
    with pytest.raises(InputError, match="features"):
        SafeMlp(training=SMALL).fit([Rollout(failure.meta, {})])


def test_scoring_imports_no_torch() -> None:
    code = "import sys, vla_uq.bundle, vla_uq.calibration.build; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
