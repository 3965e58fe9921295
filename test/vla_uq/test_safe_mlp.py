"""SAFE-MLP: repeatable training that stops by itself, and scoring that needs no torch."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vla_uq.detectors import SafeMlp, SafeTraining
from vla_uq.detectors.safe import Episodes
from vla_uq.detectors.safe_mlp import Network
from vla_uq.errors import InputError
from vla_uq.evaluation.metrics import roc_auc
from vla_uq.rollouts.store import Rollout

torch = pytest.importorskip("torch")
from vla_uq.detectors import safe_training  # noqa: E402

Make = Callable[..., Rollout]
SMALL = SafeTraining(hidden=16, iterations=200, batch=16, learning_rate=3e-3, regulariser=1e-2)


def network(inputs: int = 6, hidden: int = 16) -> Network:
    rng = np.random.default_rng(0)
    layers = ((rng.normal(size=(hidden, inputs)), rng.normal(size=hidden)), (rng.normal(size=(1, hidden)), np.zeros(1)))
    return Network(
        rng.normal(size=inputs).astype(np.float32),
        rng.uniform(0.5, 2, inputs).astype(np.float32),
        tuple(((w / np.sqrt(w.shape[1])).astype(np.float32), b.astype(np.float32)) for w, b in layers),
    )


def test_learns_repeats_and_reports(make_rollout: Make) -> None:
    rollouts = [make_rollout(i, success=i % 3 != 0) for i in range(60)]
    calls: list[tuple[int, int]] = []
    first, second = SafeMlp(training=SMALL), SafeMlp(training=SMALL)
    random_state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first.fit(rollouts, lambda done, total, what: calls.append((done, total)))
    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert torch.get_num_threads() == threads
    second.fit(rollouts)
    assert calls[0] == (10, 200)
    assert calls[-1] == (200, 200)
    assert first.history == second.history
    for name, value in first.state()[0].items():
        np.testing.assert_array_equal(value, second.state()[0][name])
    fresh = [make_rollout(i, success=i % 2 == 0) for i in range(1000, 1060)]
    final = [first.score(rollout)[-1] for rollout in fresh]
    assert roc_auc(final, [not rollout.meta.success for rollout in fresh]) > 0.95
    other = SafeMlp(training=dataclasses.replace(SMALL, seed=1))
    other.fit(rollouts)
    assert not np.array_equal(other.state()[0]["layer0/weight"], first.state()[0]["layer0/weight"])


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": 1},
        {"layers": 3},
        {"time_weighting": True},
        {"iterations": 7},
        {"loss": "hinge", "threshold": 3.0},
        {"loss": "bce"},
        {"hard_negatives": 1.0},
        {"selection": 0.0},
    ],
)
def test_other_settings_train_too(make_rollout: Make, changes: dict[str, Any]) -> None:
    detector = SafeMlp(training=dataclasses.replace(SMALL, **changes))
    detector.fit([make_rollout(i, success=i % 2 == 0) for i in range(40)])
    assert np.isfinite(detector.score(make_rollout(50))).all()
    assert len(detector.state()[0]) == 2 + 2 * changes.get("layers", 2)
    assert bool(detector.history) == (changes.get("selection") != 0)


def test_stops_early_and_keeps_the_best_state(make_rollout: Make) -> None:
    rng = np.random.default_rng(0)
    rollouts = [make_rollout(i, success=i % 2 == 0) for i in range(40)]
    for rollout in rollouts:
        rollout.tensors["features"][:] = rng.normal(size=rollout.tensor("features").shape)  # nothing to learn
    chosen = [make_rollout(i, success=i % 2 == 0) for i in range(100, 130)]
    recipe = dataclasses.replace(SMALL, iterations=5000, patience=40)
    detector = SafeMlp("cumsum", recipe)
    detector.fit(rollouts, selection=chosen)
    last, best = detector.history[-1], max(detector.history, key=lambda check: check.auc)
    assert last.iteration < 5000
    assert last.iteration - best.iteration == 40
    shortest = min(len(r.tensor("features")) for r in rollouts + chosen)
    peaks = [detector.score(r)[:shortest].max() for r in chosen]
    assert roc_auc(peaks, [not r.meta.success for r in chosen]) == pytest.approx(best.auc)


def test_held_out_episodes_have_both_outcomes_and_do_not_train() -> None:
    failed = np.arange(40) % 4 == 0
    episodes = Episodes([np.full((3, 2), i, np.float32) for i in range(40)], failed, ["task"] * 40)
    training, chosen = safe_training.hold_out(episodes, 0.5, seed=0)
    assert chosen is not None
    assert (len(training), int(training.failed.sum())) == (20, 5)
    assert (len(chosen), int(chosen.failed.sum())) == (20, 5)
    assert {f[0, 0] for f in training.features}.isdisjoint({f[0, 0] for f in chosen.features})
    again, other = (safe_training.hold_out(episodes, 0.5, seed)[0] for seed in (0, 1))
    np.testing.assert_array_equal(np.array(again.features), np.array(training.features))
    assert not np.array_equal(np.array(other.features), np.array(training.features))
    assert safe_training.hold_out(episodes, 0.25, seed=0) == (episodes, None)  # 2 or 3 failures say nothing


def test_selection_compares_equally_many_steps() -> None:
    """A score that only counts steps ranks failures, which last longer, first: not where lengths are matched."""

    class Counter(safe_training.SafeNet):
        through_time = True

        def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            return inputs[:, 0]

    def episode(length: int) -> np.ndarray:
        return np.arange(length, dtype=np.float32)[:, None]

    lengths = {"a": [9, 5, 8], "b": [30, 12, 20]}
    features = [episode(n) for task in lengths.values() for n in task]
    chosen = Episodes(features, np.array([True, False, False] * 2), ["a"] * 3 + ["b"] * 3)
    training = Episodes([episode(3), episode(12)], np.array([True, False]), ["a", "b"])
    one = np.ones(1, np.float32)
    for rule in ("none", "cumsum"):
        assert safe_training.Judge(training, chosen, 0 * one, one, rule).auc(Counter()) == 0.5


def test_numpy_scoring_equals_torch() -> None:
    net = network()
    first, last = net.layers
    for x in np.random.default_rng(1).normal(size=(20, 6)):
        h = torch.tensor((x - net.mean) / net.scale)
        h = torch.relu(torch.tensor(first[0]).double() @ h + torch.tensor(first[1]))
        expected = torch.sigmoid(torch.tensor(last[0]).double() @ h + torch.tensor(last[1]))
        assert net.probability(x) == pytest.approx(float(expected), abs=1e-6)


def test_streaming_equals_scoring_at_full_size(make_rollout: Make) -> None:
    features = np.random.default_rng(0).normal(size=(100, 1024)).astype(np.float32)
    features[50, 3] = np.nan
    for rule in ("none", "cumsum", "running_mean"):
        detector = SafeMlp(rule, network=network(1024, 256))
        detector.reset()
        streamed = [detector.update({"features": step}) for step in features]
        scored = detector.score(Rollout(make_rollout(0).meta, {"features": features}))
        np.testing.assert_allclose(scored, streamed, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_extreme_features_do_not_overflow(logit: float) -> None:
    one = np.ones(1, np.float32)
    net = Network(0 * one, one, ((one[None], 0 * one),))
    assert net.probability(np.array([logit])) == (0.0 if logit < 0 else 1.0)


def test_a_feature_that_never_varied_is_not_blown_up(make_rollout: Make) -> None:
    rollouts = [make_rollout(i, success=i % 2 == 0) for i in range(10)]
    for rollout in rollouts:
        rollout.tensors["features"][:, 3] = 0.25
    detector = SafeMlp(training=SMALL)
    detector.fit(rollouts)
    assert detector.state()[0]["scale"][3] == 1.0


def test_looks_at_the_tensor_it_is_told(make_rollout: Make) -> None:
    rollout = make_rollout(0)
    renamed = Rollout(rollout.meta, {"features/token_mean": rollout.tensor("features")})
    detector = SafeMlp(network=network(), feature="features/token_mean")
    assert detector.needs == ("features/token_mean",)
    np.testing.assert_array_equal(detector.score(renamed), SafeMlp(network=network()).score(rollout))
    tensors, config = detector.state()
    np.testing.assert_array_equal(SafeMlp.from_state(tensors, config).score(renamed), detector.score(renamed))
    with pytest.raises(InputError, match="features/token_mean"):
        detector.score(rollout)


def test_refuses_one_outcome_no_outcome_and_bad_features(make_rollout: Make) -> None:
    successes = [make_rollout(i) for i in range(4)]
    with pytest.raises(InputError, match="expected successes and failures; found 4 successes, 0 failures"):
        SafeMlp(training=SMALL).fit(successes)
    with pytest.raises(InputError, match="episode-0009: episode has no outcome"):
        SafeMlp(training=SMALL).fit([*successes, make_rollout(9, success=None)])
    failure = make_rollout(10, success=False)
    with pytest.raises(InputError, match="selection needs both outcomes"):
        SafeMlp(training=SMALL).fit([*successes, failure], selection=successes)
    failure.tensors["features"][0, 0] = np.nan
    with pytest.raises(InputError, match="features: are not finite"):
        SafeMlp(training=SMALL).fit([*successes, failure])
    wide = Rollout(failure.meta, {"features": np.zeros((3, 9), np.float32)})
    with pytest.raises(InputError, match="features: differ in size"):
        SafeMlp(training=SMALL).fit([*successes, wide])
    with pytest.raises(InputError, match="features"):
        SafeMlp(training=SMALL).fit([Rollout(failure.meta, {})])


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"loss": "focal"}, "loss"),
        ({"layers": 0}, "layers"),
        ({"batch": 0}, "batch"),
        ({"selection": 1.0}, "selection"),
    ],
)
def test_refuses_settings_that_make_no_sense(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(InputError, match=f"^training: {where}: "):
        SafeTraining(**changes)


def test_scoring_imports_no_torch() -> None:
    code = "import sys, vla_uq.bundle, vla_uq.calibration.build; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
