"""RND, LogpZO and RND-OE: what they see, how they are trained, and that numpy scores what torch trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vla_uq.detectors import LogpZo, Rnd, RndOe, detector_from_state
from vla_uq.detectors.mlp import Mlp
from vla_uq.errors import InputError
from vla_uq.evaluation.metrics import roc_auc
from vla_uq.rollouts.store import Rollout

torch = pytest.importorskip("torch")
from vla_uq.detectors import logpzo_training, net_training  # noqa: E402

Make = Callable[..., Rollout]
SHORT: dict[str, Any] = {"aggregator": "none", "hidden": 32, "iterations": 300, "batch": 64}
KINDS: dict[str, Callable[..., Any]] = {
    "rnd": lambda **changes: Rnd(**{**SHORT, "output": 16, **changes}),
    "logpzo": lambda **changes: LogpZo(**{**SHORT, **changes}),
    "rnd_oe": lambda **changes: RndOe("none", **{"target": (16,), "predictor": (32,), "epochs": 40, **changes}),
}


def mixed(make_rollout: Make, count: int, start: int = 0) -> list[Rollout]:
    return [make_rollout(i, success=i % 2 == 0) for i in range(start, start + count)]


@pytest.mark.parametrize("name", KINDS)
def test_learns_to_tell_failures_and_repeats_exactly(name: str, make_rollout: Make) -> None:
    rollouts, fresh = mixed(make_rollout, 60), mixed(make_rollout, 40, 1000)
    first, second = KINDS[name](), KINDS[name]()
    calls: list[tuple[int, int, str]] = []
    random_state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first.fit(rollouts, lambda *call: calls.append(call))
    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert torch.get_num_threads() == threads
    assert any(what == f"training {name}" for _, _, what in calls)
    second.fit(rollouts)
    for key, value in first.state()[0].items():
        np.testing.assert_array_equal(value, second.state()[0][key])
    auc = roc_auc([first.score(r).mean() for r in fresh], [not r.meta.success for r in fresh])
    assert auc > (0.8 if name == "rnd_oe" else 0.9)
    other = KINDS[name](seed=1)
    other.fit(rollouts)
    assert any(not np.array_equal(v, other.state()[0][k]) for k, v in first.state()[0].items())


@pytest.mark.parametrize("name", ["rnd", "logpzo"])
def test_b16_batches_without_an_outcome_and_outliers_in_scale_leave_the_score_finite(
    name: str, make_rollout: Make
) -> None:
    rollouts = [make_rollout(i, success=i != 7) for i in range(30)]
    for rollout in rollouts:
        rollout.tensors["features"][:, 2] *= 1e4
    detector = KINDS[name](batch=2, iterations=50)
    detector.fit(rollouts)
    assert np.isfinite(detector.score(make_rollout(99))).all()
    scale = detector.state()[0]["scale"]
    assert scale.max() > 1e3 * np.median(scale)


def test_b16_means_are_over_an_episodes_own_steps() -> None:
    lengths = (1, 4, 100)
    steps = net_training.EpisodeSteps([np.full((n, 1), n, np.float32) for n in lengths])
    with net_training.repeatable(0):
        drawn = steps.draw(6000).flatten().tolist()
    assert [drawn.count(n) / 6000 for n in lengths] == pytest.approx([1 / 3] * 3, abs=0.03)
    within = net_training.EpisodeSteps([np.arange(5, dtype=np.float32)[:, None]])
    with net_training.repeatable(0):
        drawn = within.draw(5000).flatten().tolist()
    assert [drawn.count(t) / 5000 for t in range(5)] == pytest.approx([0.2] * 5, abs=0.03)


def test_b1_every_episode_has_its_own_executed_chunk(make_rollout: Make) -> None:
    rollouts = mixed(make_rollout, 12)
    detector = KINDS["rnd"]()
    detector.fit(rollouts)
    for rollout in rollouts:
        samples, features = rollout.tensor("samples"), rollout.tensor("features")
        expected = np.c_[samples[:, 0, 0].reshape(len(samples), -1), features]
        np.testing.assert_array_equal(detector.rows(rollout.tensors), expected)
        assert np.abs(expected[:, :-6]).min(axis=1).max() > 0


def test_b1_rnd_sees_failures_that_show_in_the_actions_alone(make_rollout: Make) -> None:
    def rollout(number: int) -> Rollout:
        made = make_rollout(number, success=number % 2 == 0)
        samples = made.tensors["samples"].copy()
        samples[:, 0, 0, :, 0] += 0 if made.meta.success else 3
        return Rollout(made.meta, {"samples": samples, "features": np.ones((len(samples), 6), np.float32)})

    detector = KINDS["rnd"]()
    detector.fit([rollout(i) for i in range(60)])
    fresh = [rollout(i) for i in range(1000, 1040)]
    assert roc_auc([detector.score(r).mean() for r in fresh], [not r.meta.success for r in fresh]) > 0.95


def test_rnd_scores_the_executed_draw_and_no_other(make_rollout: Make) -> None:
    detector, rollout = KINDS["rnd"](), make_rollout(50)
    detector.fit(mixed(make_rollout, 12))
    scores = detector.score(rollout)
    for draw, same in ((0, False), (1, True)):
        samples = rollout.tensor("samples").copy()
        samples[:, 0, draw] += 1
        changed = detector.score(Rollout(rollout.meta, {**rollout.tensors, "samples": samples}))
        assert np.array_equal(changed, scores) == same


def test_rnd_weighs_chunk_and_features_alike_and_refuses_other_chunks(make_rollout: Make) -> None:
    detector = KINDS["rnd"]()
    rollouts = mixed(make_rollout, 12)
    detector.fit(rollouts)
    chunk = math.prod(rollouts[0].tensor("samples").shape[-2:])
    rows = np.concatenate([detector.scaling(detector.rows(r.tensors)) for r in rollouts])
    energy = np.square(rows).mean(axis=0)
    assert energy[:chunk].sum() == pytest.approx(energy[chunk:].sum(), rel=1e-3)
    samples = rollouts[0].tensor("samples")[0]
    step = {"features": rollouts[0].tensor("features")[0], "samples": samples.swapaxes(2, 3)}
    with pytest.raises(InputError, match=r"^samples: tensor has the wrong shape"):
        detector.update(step)
    tensors, config = detector.state()
    with pytest.raises(InputError, match="file: chunk: is wrong"):
        detector_from_state("rnd", tensors, {**config, "chunk": [4, -7]}, "file")


def test_rnd_has_one_target_for_both_outcomes(make_rollout: Make) -> None:
    detector = KINDS["rnd"]()
    detector.fit(mixed(make_rollout, 12))
    tensors = detector.state()[0]
    targets = [name for name in tensors if name.startswith("success/target/")]
    assert targets
    for name in targets:
        np.testing.assert_array_equal(tensors[name], tensors[name.replace("success", "failure")])


def test_logpzo_is_the_squared_length_of_one_euler_step_of_the_trained_flow() -> None:
    rng = np.random.default_rng(0)
    net = net_training.perceptron((3 + 2 * logpzo_training.FREQUENCIES, 8, 3), 0.0)
    start = logpzo_training.at_start(net_training.exported(net, 0.0), 3)
    x = rng.normal(size=(5, 3)).astype(np.float32)
    time = logpzo_training.embedded(torch.zeros(5, 1))
    with torch.no_grad():
        expected = net(torch.cat([torch.from_numpy(x), time], dim=1)).numpy()
    np.testing.assert_allclose(start(x), expected, atol=1e-6)
    from vla_uq.detectors.logpzo import Flow

    np.testing.assert_allclose(Flow(start).distances(x), np.square(x + expected).sum(axis=1), rtol=1e-5)


def test_numpy_nets_equal_torch() -> None:
    rng = np.random.default_rng(0)
    for slope, gain in ((0.0, None), (0.01, 2**0.5)):
        net = net_training.perceptron((6, 16, 8, 3), slope, gain)
        x = rng.normal(size=(20, 6))
        with torch.no_grad():
            expected = net.double()(torch.from_numpy(x)).numpy()
        mine = net_training.exported(net, slope)
        np.testing.assert_allclose(mine(x), expected, atol=1e-12)
        tensors = mine.tensors("n/")
        np.testing.assert_allclose(Mlp.from_tensors(tensors, "n/", (6, 16, 8, 3), slope, "")(x), expected, atol=1e-5)
        assert mine.parameters == 6 * 16 + 16 + 16 * 8 + 8 + 8 * 3 + 3


def test_orthogonal_initialisation() -> None:
    weight = net_training.perceptron((64, 16), 0.0, gain=2**0.5)[0].weight.detach().numpy()
    np.testing.assert_allclose(weight @ weight.T, 2 * np.eye(16), atol=1e-5)


def test_rnd_oe_learns_from_successes_alone(make_rollout: Make) -> None:
    successes = [make_rollout(i) for i in range(20)]
    failures = [make_rollout(i, success=False) for i in range(100, 110)]
    alone, both = KINDS["rnd_oe"](), KINDS["rnd_oe"]()
    alone.fit(successes)
    both.fit([*failures, *successes])
    for name, value in alone.state()[0].items():
        np.testing.assert_array_equal(value, both.state()[0][name])
    with pytest.raises(InputError, match="rnd_oe: needs episodes to train and to validate on; expected 2; found 1"):
        KINDS["rnd_oe"]().fit([*failures, successes[0]])


def test_rnd_oe_stops_by_patience_and_keeps_its_best_state(make_rollout: Make) -> None:
    successes = [make_rollout(i) for i in range(20)]
    calls: list[int] = []
    detector = KINDS["rnd_oe"](epochs=10_000, patience=2, learning_rate=0.05)
    detector.fit(successes, lambda done, total, what: calls.append(done) if what == "training rnd_oe" else None)
    assert calls[-1] < 10_000


def test_rnd_oe_has_nets_of_any_depth(make_rollout: Make) -> None:
    # The published shape, 1024-2048-4096 and on to 2048-1024, at a sixty-fourth.
    detector = RndOe(target=(16, 32, 64), predictor=(16, 32, 64, 32, 16), epochs=2)
    detector.fit([make_rollout(i) for i in range(4)])
    tensors, config = detector.state()
    assert tensors["success/predictor/layer4/weight"].shape == (16, 32)
    twin = detector_from_state("rnd_oe", tensors, config)
    fresh = make_rollout(9)
    np.testing.assert_array_equal(twin.score(fresh), detector.score(fresh))
    with pytest.raises(InputError, match="rnd_oe: target: is wrong"):
        RndOe(target=(0,))
