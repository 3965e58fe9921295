"""From episodes to a bundle: what is used, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vla_uq.bundle import PolicyIdentity
from vla_uq.calibration.build import build_bundle
from vla_uq.contracts import Space
from vla_uq.detectors import SafeMlp, SafeTraining, Vfd
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout

Make = Callable[..., Rollout]
POLICY = PolicyIdentity("p1", Space.EE_DELTA, horizon=4, dim=3, step_duration=0.05, execute_steps=2)


def build(training: list[Rollout], calibration: list[Rollout], **options: Any) -> Any:
    return build_bundle(POLICY, training, calibration, **{"alpha": 0.1, "seed": 0, "detectors": [Vfd()], **options})


def test_trains_and_calibrates_the_same_twice(make_rollout: Make) -> None:
    pytest.importorskip("torch")
    training = [make_rollout(i, success=i % 3 != 0) for i in range(60)]
    calibration = [make_rollout(i) for i in range(100, 140)]
    settings = SafeTraining(hidden=16, iterations=200, batch=16, learning_rate=3e-3, regulariser=1e-2)
    done: list[str] = []
    bundles = [
        build(
            training,
            calibration,
            detectors=[Vfd(), SafeMlp(training=settings)],
            progress=lambda i, n, what: done.append(what),
        )
        for _ in range(2)
    ]
    assert bundles[0].digest == bundles[1].digest
    assert "scoring calibration episodes" in done
    assert "training safe_mlp" in done
    fresh = [make_rollout(i, success=i % 2 == 0) for i in range(1000, 1060)]
    alarms = [bundles[0].nonconformity.alarm_step(bundles[0].scores(r)) is not None for r in fresh]
    assert sum(a for a, r in zip(alarms, fresh, strict=True) if not r.meta.success) >= 20
    assert sum(a for a, r in zip(alarms, fresh, strict=True) if r.meta.success) <= 8


def test_works_on_the_first_day_without_failures(make_rollout: Make) -> None:
    bundle = build([], [make_rollout(i) for i in range(20)])
    assert list(bundle.detectors) == ["vfd"]
    assert bundle.provenance["training"]["episodes"] == 0


def test_nominal_failures_are_left_out_and_counted(make_rollout: Make) -> None:
    calibration = [make_rollout(i, success=i >= 5) for i in range(25)]
    bundle = build([], calibration)
    assert bundle.n_calibration == 14
    assert bundle.provenance["calibration"] == {
        "episodes": 25,
        "successes": 20,
        "disturbances": {"none": 25},
        "tasks": ["put the cube on the plate"],
        "seeds": [0, 24],
    }


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"halted": True}, "episode-0999: mode: episode was guarded; .*found shadow, halted"),
        ({"mode": "guard"}, "episode-0999: mode: episode was guarded; .*found guard"),
        ({"policy_fingerprint": "p2"}, "episode-0999: policy_fingerprint: .*expected p1; found p2"),
        ({"disturbance": "push"}, "episode-0999: disturbance: .*expected none; found push"),
        ({"success": None}, "episode-0999: episode has no outcome"),
        ({"execute_steps": 5}, "episode-0999: execute_steps: .*another rate; expected 2; found 5"),
        ({"step_duration": 0.1}, "episode-0999: step_duration: .*another rate; expected 0.05 s; found 0.1 s"),
    ],
)
def test_refuses_episodes_that_would_spoil_calibration(make_rollout: Make, meta: dict[str, Any], message: str) -> None:
    good = [make_rollout(i) for i in range(20)]
    with pytest.raises(InputError, match=message):
        build([], [*good, make_rollout(999, **meta)])


def test_training_takes_disturbed_but_not_guarded_episodes(make_rollout: Make) -> None:
    good = [make_rollout(i) for i in range(20)]
    assert build([make_rollout(50, disturbance="push")], good).provenance["training"]["disturbances"] == {"push": 1}
    with pytest.raises(InputError, match="guarded"):
        build([make_rollout(50, halted=True)], good)


def test_refuses_an_episode_in_both_parts(make_rollout: Make) -> None:
    good = [make_rollout(i) for i in range(20)]
    with pytest.raises(InputError, match="episode-0007: episode is in the training part too"):
        build([make_rollout(7)], good)


def test_refuses_the_same_episode_twice(make_rollout: Make) -> None:
    with pytest.raises(InputError, match="episode-0003: episode occurs twice"):
        build([], [*(make_rollout(i) for i in range(20)), make_rollout(3)])


def test_a_detector_that_learns_values_needs_episodes_of_its_own(make_rollout: Make) -> None:
    with pytest.raises(InputError, match="safe_mlp: needs training episodes"):
        build([], [make_rollout(i) for i in range(20)], detectors=[SafeMlp()])


def test_what_nobody_noted_passes(make_rollout: Make) -> None:
    good = [make_rollout(i) for i in range(18)]
    some = [make_rollout(98, execute_steps=0), make_rollout(99, extra={"cameras": ["wrist"]})]
    assert build([], [*good, *some]).n_calibration == 14
    with pytest.raises(InputError, match=r"episode-0100: cameras: .*; expected \['wrist'\] as in episode-0099; found"):
        build([], [*good, *some, make_rollout(100, extra={"cameras": ["front"]})])


def test_the_bundle_says_what_more_successes_would_buy(make_rollout: Make) -> None:
    bundle = build([], [make_rollout(i) for i in range(20)])
    assert (bundle.n_calibration, round(bundle.realised_bound, 3)) == (14, 0.193)
    assert bundle.provenance["method"] == "functional"
    rows = bundle.provenance["more_successes"]
    assert [(row["alpha"], row["more"]) for row in rows] == [(0.1, 76), (0.1, 476), (0.05, 6)]
    for row in rows:
        assert row["successes"] == 20 + row["more"]
    better = build([], [make_rollout(i) for i in range(96)])
    assert better.realised_bound == rows[0]["bound"] <= 0.15
    crossed = build([], [make_rollout(i) for i in range(20)], method="cross")
    assert crossed.n_calibration == 20
    assert crossed.provenance["method"] == crossed.nonconformity.method == "cross"


def test_refuses_too_few_and_none(make_rollout: Make) -> None:
    with pytest.raises(
        InputError, match=r"expected 12 for alpha 0.1; found 10, of which n = 7 .* alpha >= 0.125; record 2 more"
    ):
        build([], [make_rollout(i) for i in range(10)])
    assert build([], [make_rollout(i) for i in range(12)]).n_calibration == 9
    with pytest.raises(InputError, match="no nominal successes"):
        build([], [make_rollout(i, success=False) for i in range(10)])


def test_names_the_episode_that_cannot_be_scored(make_rollout: Make) -> None:
    good = [make_rollout(i) for i in range(20)]
    spoilt = make_rollout(77)
    spoilt.tensors["velocities"][2, 0, 1] = np.nan
    with pytest.raises(InputError, match="episode-0077: vfd: score is not finite"):
        build([], [*good, spoilt])
    other = make_rollout(78)
    narrow = Rollout(other.meta, {**other.tensors, "velocities": other.tensor("velocities")[..., :2]})
    with pytest.raises(InputError, match="episode-0078: velocities: episodes are a mixture"):
        build([], [*good, narrow])


def test_names_the_tensor_that_episodes_lack(make_rollout: Make) -> None:
    bare = [Rollout(r.meta, {"features": r.tensor("features")}) for r in map(make_rollout, range(20))]
    with pytest.raises(InputError, match="flow_times: rollout lacks a tensor"):
        build([], bare)
